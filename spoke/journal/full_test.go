package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/spoke/journal"
)

// smallDisk mounts a disk of a size for the test alone.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("SKIPPED: a full disk is not tested, since this user may not mount one: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill leaves a number of bytes free on a disk.
func fill(t *testing.T, disk string, free uint64) (empty func()) {
	t.Helper()
	name := filepath.Join(disk, "filler")
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	for block := make([]byte, 4096); room(t, disk) > free; {
		if _, err := f.Write(block); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			break
		}
	}
	return func() { require.NoError(t, os.Remove(name)) }
}

func room(t *testing.T, disk string) uint64 {
	t.Helper()
	var s syscall.Statfs_t
	require.NoError(t, syscall.Statfs(disk, &s))
	return s.Bavail * uint64(s.Bsize)
}

// TestFullDisk is a real disk that others fill: all is refused and nothing changes until there is room again.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, journal.Reserve+16<<20)
	dir := filepath.Join(disk, "journal")
	j := open(t, dir)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	for n := range uint64(3) {
		require.NoError(t, j.Take(entry(n+1)))
	}
	require.NoError(t, j.Finish(name(1), []byte("receipt"), &journal.Watch{BundleID: name(1), Until: noon}))

	for _, free := range []uint64{journal.Reserve - 1, 0} {
		empty := fill(t, disk, free)
		for what, write := range map[string]func() error{
			"take":      func() error { return j.Take(entry(4)) },
			"claim":     func() error { _, err := j.Claim(name(2), noon); return err },
			"finish":    func() error { return j.Finish(name(3), nil, nil) },
			"outcome":   func() error { return j.Outcome(name(1), nil) },
			"delivered": func() error { return j.ReceiptDelivered(name(1)) },
		} {
			t.Run(fmt.Sprintf("%s, %d free", what, free), func(t *testing.T) { refused(t, j, journal.ErrFull, write) })
		}
		if free == 0 {
			require.ErrorIs(t, j.Close(), journal.ErrFull)
		}
		empty()
	}

	require.NoError(t, j.Take(entry(4)), "with room again it goes on")
	_, err := j.Claim(name(2), noon)
	require.NoError(t, err)
	before := content(t, j)
	require.NoError(t, j.Close())

	empty := fill(t, disk, 1<<20)
	_, err = journal.Open(dir, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, journal.ErrFull)
	empty()
	require.Equal(t, before, content(t, open(t, dir)))
}

// TestGrowsUntilFull writes until the disk is full by the journal's own doing: it stops in time.
func TestGrowsUntilFull(t *testing.T) {
	disk := smallDisk(t, journal.Reserve+24<<20)
	j := open(t, filepath.Join(disk, "journal"))
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	var err error
	n := uint64(0)
	for err == nil {
		n++
		require.Less(t, n, uint64(10_000))
		e := entry(n)
		e.Bundle = bytes.Repeat([]byte{byte(n)}, journal.MaxEnvelope)
		err = j.Take(e)
	}
	require.ErrorIs(t, err, journal.ErrFull)
	head, err := j.Head()
	require.NoError(t, err)
	require.Equal(t, n-1, head.Sequence)
	t.Logf("stopped after %d of the largest bundles with %d MiB free", n-1, room(t, disk)>>20)
}

// TestWithoutReserve shows what the guard is for, and that the journal is whole even where it was of no use: Badger writes
// through mapped files, and the kernel kills who writes to such a page without a block behind it.
func TestWithoutReserve(t *testing.T) {
	disk := smallDisk(t, journal.Reserve+16<<20)
	dir := filepath.Join(disk, "journal")
	j := open(t, dir)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	require.NoError(t, j.Close())

	var stderr bytes.Buffer
	cmd, lines, begin := child(t, "work without reserve", dir, &stderr)
	empty := fill(t, disk, 256<<10)
	begin()
	told := map[uint64]int{}
	for lines.Scan() {
		var step int
		var sequence uint64
		_, err := fmt.Sscan(lines.Text(), &step, &sequence)
		require.NoError(t, err)
		told[sequence] = step
	}
	err := cmd.Wait()
	require.Error(t, err)
	require.Contains(t, stderr.String(), "SIGBUS", "%v", errors.Unwrap(err))
	empty()
	agree(t, open(t, dir), told)
}
