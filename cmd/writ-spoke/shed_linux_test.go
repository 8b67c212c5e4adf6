package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// filePages is how many pages of files the process holds (proc_pid_statm(5)).
func filePages(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(raw))[2])
	require.NoError(t, err)
	return pages
}

// What the start needed is let go, and whatever is asked for again is there.
func TestShed(t *testing.T) {
	before := filePages(t)
	require.NoError(t, shed())
	require.Less(t, filePages(t), before/2)
	require.NoError(t, shed(), "also when there is little left")
	require.Contains(t, strings.ToUpper(t.Name()), "SHED")
}

func TestOnlyWhatNobodyHasWrittenIsLetGo(t *testing.T) {
	spans, err := spansOf(bufio.NewScanner(strings.NewReader(`00400000-01481000 r-xp 00000000 fe:00 1234 /usr/bin/writ spoke
Size:              16900 kB
Anonymous:             0 kB
01481000-02a00000 r--p 01081000 fe:00 1234 /usr/bin/writ spoke
Anonymous:             4 kB
VmFlags: rd mr mw me
02a00000-02b00000 rw-p 02600000 fe:00 1234 /usr/bin/writ spoke
Anonymous:             0 kB
c000000000-c004000000 rw-p 00000000 00:00 0
Anonymous:          8192 kB
`)))
	require.NoError(t, err)
	require.Equal(t, []span{
		{0x400000, 0x1481000, "/usr/bin/writ spoke", true, false},
		{0x1481000, 0x2a00000, "/usr/bin/writ spoke", true, true},
		{0x2a00000, 0x2b00000, "/usr/bin/writ spoke", false, false},
		{0xc000000000, 0xc004000000, "", false, true},
	}, spans)
	_, err = spansOf(bufio.NewScanner(strings.NewReader("zebra r-xp 0 0 0 x\n")))
	require.ErrorContains(t, err, `"zebra r-xp 0 0 0 x"`)
}
