package journal_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/spoke/journal"
)

// What the test's own child process does, and in which folder.
const (
	childRole = "WRIT_TEST_JOURNAL_ROLE"
	childDir  = "WRIT_TEST_JOURNAL_DIR"
)

// TestMain is the child where it is asked to be.
func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	switch os.Getenv(childRole) {
	case "work":
		must(work(must1(journal.Open(dir, slog.New(slog.DiscardHandler)))))
	case "work without reserve":
		must(work(must1(journal.OpenWithoutReserve(dir))))
	case "idle":
		must(idle(dir))
	}
	os.Exit(m.Run())
}

// work lives lives, one step after the other, from where the journal stands. It tells of each step that is done.
func work(j *journal.Journal) error {
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	head, err := j.Head()
	if err != nil {
		return err
	}
	for n := head.Sequence + 1; ; n++ {
		e := entry(n)
		e.Bundle = make([]byte, 32<<10) // so that tables are flushed and compacted as well
		if err := j.Take(e); err != nil {
			return err
		}
		fmt.Println(taken, n)
		if _, err := j.Claim(e.BundleID, noon); err != nil {
			return err
		}
		fmt.Println(claimed, n)
		if n%3 == 0 {
			continue // some stay started
		}
		if err := j.Finish(e.BundleID, []byte("receipt"), nil); err != nil {
			return err
		}
		fmt.Println(finished, n)
	}
}

// The steps of a life.
const (
	taken = iota + 1
	claimed
	finished
)

// child starts this test binary in a role. It is killed when the test ends.
func child(t *testing.T, role, dir string, stderr io.Writer) (cmd *exec.Cmd, lines *bufio.Scanner, begin func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines = bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the child ended early")
	require.Equal(t, "ready", lines.Text())
	return cmd, lines, func() { _, _ = io.WriteString(in, "\n") }
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func must1[T any](value T, err error) T {
	if err != nil {
		must(err)
	}
	return value
}
