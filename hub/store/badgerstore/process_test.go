package badgerstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

// What the test's own child process does, and in which folder.
const (
	childRole = "WRIT_TEST_STORE_ROLE"
	childDir  = "WRIT_TEST_STORE_DIR"
)

// TestMain is the child where it is asked to be.
func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "count":
		count(os.Getenv(childDir))
	case "idle":
		idle(os.Getenv(childDir))
	default:
		os.Exit(m.Run())
	}
}

// count has many writers each count up a key of its own, together with a copy, and tells of each commit.
func count(dir string) {
	s, err := badgerstore.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	ballast := make([]byte, 8<<10) // so that tables are flushed and compacted as well
	for w := range 16 {
		go func() {
			a, b := fmt.Sprintf("a/%02d", w), fmt.Sprintf("b/%02d", w)
			item, _ := s.Get(context.Background(), a)
			n, _ := strconv.Atoi(string(item.Value))
			for n++; ; n++ {
				value := []byte(strconv.Itoa(n))
				if err := s.Commit(context.Background(), store.Put(a, value), store.Put(b, value), store.Put("c/"+a, ballast)); err != nil {
					panic(err)
				}
				fmt.Println(w, n)
			}
		}()
	}
	select {}
}

func child(t *testing.T, role, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

// TestKilled kills the writers with SIGKILL again and again: what they were told is there, and of each commit all or nothing.
func TestKilled(t *testing.T) {
	dir, told := t.TempDir(), map[string]int{}
	for round := range 5 {
		cmd, lines := child(t, "count", dir)
		for n := 0; lines.Scan(); n++ {
			if n == 200+731*round {
				require.NoError(t, cmd.Process.Kill())
			}
			var w, count int
			_, err := fmt.Sscan(lines.Text(), &w, &count)
			require.NoError(t, err)
			told[fmt.Sprintf("%02d", w)] = count
		}
		require.ErrorContains(t, cmd.Wait(), "killed")
		s := open(t, dir)
		for w, count := range told {
			a, err := s.Get(t.Context(), "a/"+w)
			require.NoError(t, err)
			b, err := s.Get(t.Context(), "b/"+w)
			require.NoError(t, err)
			require.Equal(t, a.Value, b.Value)
			require.Equal(t, a.Version, b.Version)
			found, err := strconv.Atoi(string(a.Value))
			require.NoError(t, err)
			require.Contains(t, []int{count, count + 1}, found, "writer %s", w)
		}
		require.NoError(t, s.Close())
	}
}

// mayCost is what an idle store with a fleet's records may add to the hub's memory, in KiB.
const mayCost = 12 << 10

// TestIdleMemory measures a process that has opened a store of 1,000 records, against itself before.
func TestIdleMemory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 1000 {
		require.NoError(t, s.Commit(t.Context(), store.Put(fmt.Sprintf("record/%d", n), make([]byte, 2<<10))))
	}
	require.NoError(t, s.Close())
	_, lines := child(t, "idle", dir)
	require.True(t, lines.Scan())
	var before, after int
	_, err := fmt.Sscan(lines.Text(), &before, &after)
	require.NoError(t, err)
	t.Logf("resident: %d KiB before, %d KiB with the store", before, after)
	if !raced {
		require.Less(t, after-before, mayCost)
	}
}

func idle(dir string) {
	before := resident()
	s, err := badgerstore.Open(dir, slog.New(slog.DiscardHandler))
	if err == nil {
		_, err = s.Scan(context.Background(), "", "", 2000)
	}
	if err != nil {
		panic(err)
	}
	debug.FreeOSMemory()
	fmt.Println(before, resident())
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

// TestFullDisk is a real disk that others fill: commits are refused and nothing changes until there is room again.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", badgerstore.Reserve+32<<20)); err != nil {
		t.Skipf("SKIPPED: a full disk is not tested, since this user may not mount one: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	dir := filepath.Join(disk, "store")
	s, err := badgerstore.Open(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), store.Put("a", []byte("1"))))
	filler := filepath.Join(disk, "filler")
	require.ErrorIs(t, os.WriteFile(filler, make([]byte, badgerstore.Reserve+64<<20), 0o600), syscall.ENOSPC)
	for range 3 {
		require.ErrorIs(t, s.Commit(t.Context(), store.Put("a", []byte("2"))), store.ErrFull)
	}
	item, err := s.Get(t.Context(), "a")
	require.NoError(t, err, "a full store is read")
	require.Equal(t, "1", string(item.Value))
	_, err = badgerstore.Open(filepath.Join(disk, "other"), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, store.ErrFull)
	require.NoError(t, os.Remove(filler))
	require.NoError(t, s.Commit(t.Context(), store.Check("a", item.Version), store.Put("a", []byte("3"))))
	require.ErrorIs(t, os.WriteFile(filler, make([]byte, badgerstore.Reserve+64<<20), 0o600), syscall.ENOSPC)
	require.ErrorIs(t, s.Close(), store.ErrFull)
}
