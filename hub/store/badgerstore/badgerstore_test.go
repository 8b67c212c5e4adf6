package badgerstore_test

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/hub/store/storetest"
)

func open(t testing.TB, dir string) *badgerstore.Store {
	t.Helper()
	s, err := badgerstore.Open(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestContract(t *testing.T) {
	var mu sync.Mutex
	dirs := map[store.Store]string{}
	storetest.Run(t, storetest.Backend{
		Open: func(t *testing.T) store.Store {
			dir := t.TempDir()
			s := open(t, dir)
			mu.Lock()
			defer mu.Unlock()
			dirs[s] = dir
			return s
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			require.NoError(t, s.(*badgerstore.Store).Close())
			return open(t, dirs[s])
		},
	})
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := badgerstore.Open(dir, slog.New(slog.DiscardHandler))
	require.EqualError(t, err, "store "+dir+": another process is using it")
}

// Commits that wait while the store is closed are either written or refused, and the answer is true.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	told := make([]error, 64)
	var wait, begun sync.WaitGroup
	begun.Add(len(told))
	for n := range told {
		wait.Go(func() {
			begun.Done()
			told[n] = s.Commit(t.Context(), store.Put(string(rune('A'+n)), nil))
			_, _ = s.Get(t.Context(), "A")
		})
	}
	begun.Wait()
	require.NoError(t, s.Alive(t.Context()))
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Alive(t.Context()), store.ErrClosed)
	wait.Wait()
	require.NoError(t, s.Close(), "twice")
	require.NoError(t, s.Run(t.Context()), "its garbage collector ends with it")
	_, err := s.Get(t.Context(), "A")
	require.ErrorIs(t, err, store.ErrClosed)
	_, err = s.Scan(t.Context(), "", "", 1)
	require.ErrorIs(t, err, store.ErrClosed)
	require.ErrorIs(t, s.Commit(t.Context(), store.Put("a", nil)), store.ErrClosed)

	s = open(t, dir)
	for n, err := range told {
		_, found := s.Get(t.Context(), string(rune('A'+n)))
		if err == nil {
			require.NoError(t, found)
			continue
		}
		require.ErrorIs(t, err, store.ErrClosed)
		require.ErrorIs(t, found, store.ErrNotFound)
	}
}

// A key that Badger keeps for itself is refused, and takes nothing of others with it.
func TestBadgersOwnKeys(t *testing.T) {
	s := open(t, t.TempDir())
	require.ErrorIs(t, s.Commit(t.Context(), store.Put("a", nil), store.Put("!badger!x", nil)), store.ErrLimit)
	_, err := s.Get(t.Context(), "a")
	require.ErrorIs(t, err, store.ErrNotFound)
}
