package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/spoke/journal"
)

// mayCost is the journal's share of an idle spoke's memory, in KiB. The whole spoke has 35 MiB.
const mayCost = 8 << 10

// TestIdleMemory measures a process that has had a journal open and done some work, against itself before.
func TestIdleMemory(t *testing.T) {
	_, lines, _ := child(t, "idle", t.TempDir(), os.Stderr)
	require.True(t, lines.Scan())
	var before, after int
	_, err := fmt.Sscan(lines.Text(), &before, &after)
	require.NoError(t, err)
	t.Logf("resident: %d KiB before, %d KiB with the journal", before, after)
	if !raced {
		require.Less(t, after-before, mayCost)
	}
}

func idle(dir string) error {
	before := resident()
	j, err := journal.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = j.Init(journal.Head{Epoch: 1})
	for n := uint64(1); n <= 100 && err == nil; n++ {
		e := entry(n)
		e.Bundle = make([]byte, 4<<10)
		err = j.Take(e)
		_, claim := j.Claim(e.BundleID, noon)
		err = errors.Join(err, claim, j.Finish(e.BundleID, make([]byte, 1<<10), nil), j.ReceiptDelivered(e.BundleID))
	}
	debug.FreeOSMemory()
	fmt.Printf("ready\n%d %d\n", before, resident())
	return err
}

// resident is this process's memory in KiB, pages of mapped files included.
func resident() (kib int) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
		_, _ = fmt.Sscan(string(after), &kib)
	}
	return kib
}
