package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// span is a mapping of a file, from smaps.
type span struct {
	from, to uintptr
	file     string
	readOnly bool
	written  bool // has pages that are no longer the file's
}

// shed lets go of the pages of the program's own file that its start has touched: most of them are never asked for again, and are
// the larger part of a spoke's memory. They stay in the kernel's cache; whatever is touched again is mapped again, without a
// read. Only mappings that nobody can write, or has written, are let go.
func shed() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = smaps.Close() }()
	spans, err := spansOf(bufio.NewScanner(smaps))
	if err != nil {
		return err
	}
	for _, s := range spans {
		if s.file != program || !s.readOnly || s.written {
			continue
		}
		if _, _, no := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); no != 0 {
			return fmt.Errorf("madvise: %w", no)
		}
	}
	return nil
}

// spansOf reads smaps, as proc_pid_smaps(5) has it: a line for a mapping, then a line for each of its figures.
func spansOf(lines *bufio.Scanner) (spans []span, err error) {
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if strings.HasSuffix(fields[0], ":") { // a figure; of what is mapped from a file, an anonymous page is one that was written
			if n := len(spans); n > 0 && fields[0] == "Anonymous:" {
				spans[n-1].written = fields[1] != "0"
			}
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		begins, errFrom := strconv.ParseUint(from, 16, 64)
		ends, errTo := strconv.ParseUint(to, 16, 64)
		if errFrom != nil || errTo != nil {
			return nil, fmt.Errorf("smaps has the line %q", lines.Text())
		}
		one := span{from: uintptr(begins), to: uintptr(ends), readOnly: !strings.Contains(fields[1], "w")}
		if len(fields) > 5 {
			one.file = strings.Join(fields[5:], " ")
		}
		spans = append(spans, one)
	}
	return spans, lines.Err()
}
