package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
)

func putAndGet(t *testing.T, s store.Store) {
	absent(t, s, "a")
	absent(t, s, "")
	item := put(t, s, "a", "1")
	require.Equal(t, "a", item.Key)
	require.Equal(t, "1", string(item.Value))
	require.NotZero(t, item.Version)
	require.Empty(t, put(t, s, "empty", "").Value)
	odd := "\x00\xff/ö ' \n"
	require.Equal(t, odd, string(put(t, s, odd, odd).Value))
	require.NoError(t, s.Commit(t.Context()), "a commit of nothing")
}

// Also a write of the same value, and of a key that was deleted in between, has a version of its own.
func versions(t *testing.T, s store.Store) {
	seen := map[uint64]bool{}
	for range 3 {
		for range 3 {
			version := put(t, s, "a", "same").Version
			require.False(t, seen[version])
			seen[version] = true
		}
		require.NoError(t, s.Commit(t.Context(), store.Delete("a")))
	}
	before := put(t, s, "a", "1").Version
	put(t, s, "b", "1")
	require.Equal(t, before, get(t, s, "a").Version, "another key's write does not change it")
	items, err := s.Scan(t.Context(), "a", "", 1)
	require.NoError(t, err)
	require.Equal(t, before, items[0].Version, "a scan tells the same as a get")
}

func deletion(t *testing.T, s store.Store) {
	require.NoError(t, s.Commit(t.Context(), store.Delete("a")), "of an absent key")
	version := put(t, s, "a", "1").Version
	require.NoError(t, s.Commit(t.Context(), store.Delete("a")))
	absent(t, s, "a")
	require.Empty(t, everything(t, s))
	require.ErrorIs(t, s.Commit(t.Context(), store.Check("a", version), store.Put("b", nil)), store.ErrConflict)
	require.NoError(t, s.Commit(t.Context(), store.Check("a", 0), store.Put("a", []byte("2"))))
}

func copies(t *testing.T, s store.Store) {
	value := []byte("before")
	require.NoError(t, s.Commit(t.Context(), store.Put("a", value)))
	copy(value, "XXXXXX")
	item := get(t, s, "a")
	require.Equal(t, "before", string(item.Value))
	copy(item.Value, "YYYYYY")
	items := everything(t, s)
	require.Equal(t, "before", string(items[0].Value))
	copy(items[0].Value, "ZZZZZZ")
	require.Equal(t, "before", string(get(t, s, "a").Value))
}

func checks(t *testing.T, s store.Store) {
	first := put(t, s, "a", "1").Version
	second := put(t, s, "a", "2").Version
	for name, op := range map[string]store.Op{
		"an older version":    store.Check("a", first),
		"a version to come":   store.Check("a", second+1),
		"absent, but it is":   store.Check("a", 0),
		"present, but is not": store.Check("b", second),
	} {
		require.ErrorIs(t, s.Commit(t.Context(), op), store.ErrConflict, name)
		require.ErrorIs(t, s.Commit(t.Context(), op, store.Put("a", []byte("3"))), store.ErrConflict, name)
		require.Equal(t, second, get(t, s, "a").Version, name)
	}
	require.NoError(t, s.Commit(t.Context(), store.Check("a", second), store.Check("b", 0)), "checks alone")
	// The checks see the state before the commit, wherever they stand in it.
	require.NoError(t, s.Commit(t.Context(), store.Put("a", []byte("3")), store.Check("a", second)))
	require.Equal(t, "3", string(get(t, s, "a").Value))
}

func allOrNothing(t *testing.T, s store.Store) {
	put(t, s, "kept", "1")
	err := s.Commit(t.Context(), store.Put("a", nil), store.Delete("kept"), store.Check("b", 7), store.Put("c", nil))
	require.ErrorIs(t, err, store.ErrConflict)
	require.Equal(t, []string{"kept"}, keys(everything(t, s)))
	require.NoError(t, s.Commit(t.Context(), store.Put("a", nil), store.Delete("kept"), store.Check("b", 0), store.Put("c", nil)))
	require.Equal(t, []string{"a", "c"}, keys(everything(t, s)))
}

// Each limit is reached alone; the batch's is reached by values of all sizes.
func atTheLimits(t *testing.T, s store.Store) {
	key := strings.Repeat("k", store.MaxKey)
	value := bytes.Repeat([]byte("v"), store.MaxValue)
	require.NoError(t, s.Commit(t.Context(), store.Put(key, value)))
	require.Equal(t, value, get(t, s, key).Value)
	var many []store.Op
	for n := range store.MaxOps {
		many = append(many, store.Put(fmt.Sprintf("%03d", n), value[:store.MaxBatch/store.MaxOps-3]))
	}
	require.NoError(t, s.Commit(t.Context(), many...))
	require.Len(t, everything(t, s), store.MaxOps+1)
	rest := store.MaxBatch - store.MaxValue - 2
	require.NoError(t, s.Commit(t.Context(), store.Put("x", value), store.Put("y", value[:rest])))
	require.Len(t, get(t, s, "y").Value, rest)
}

func beyondTheLimits(t *testing.T, s store.Store) {
	value := make([]byte, store.MaxValue+1)
	many := make([]store.Op, 0, store.MaxOps+1)
	for n := range store.MaxOps + 1 {
		many = append(many, store.Put(fmt.Sprint(n), nil))
	}
	for name, ops := range map[string][]store.Op{
		"no key":            {store.Put("", nil)},
		"a long key":        {store.Put(strings.Repeat("k", store.MaxKey+1), nil)},
		"a long key, check": {store.Check(strings.Repeat("k", store.MaxKey+1), 0)},
		"a large value":     {store.Put("a", value)},
		"many operations":   many,
		"a large commit":    {store.Put("a", value[:store.MaxValue]), store.Put("b", value[:store.MaxValue])},
		"a key twice":       {store.Put("a", nil), store.Delete("a")},
	} {
		err := s.Commit(t.Context(), append([]store.Op{store.Put("first", nil)}, ops...)...)
		require.ErrorIs(t, err, store.ErrLimit, name)
		require.Empty(t, everything(t, s), name)
	}
}

func endedContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Commit(ctx, store.Put("a", nil)), context.Canceled)
	_, err := s.Get(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Scan(ctx, "", "", 1)
	require.ErrorIs(t, err, context.Canceled)
	absent(t, s, "a")
}

func reopened(t *testing.T, b Backend) {
	s := b.Open(t)
	var want []store.Item
	for n := range 50 {
		want = append(want, put(t, s, fmt.Sprintf("%02d", n), strings.Repeat("x", n*100)))
	}
	require.NoError(t, s.Commit(t.Context(), store.Delete("07")))
	s = b.Reopen(t, s)
	require.Equal(t, append(want[:7:7], want[8:]...), everything(t, s))
	require.NoError(t, s.Commit(t.Context(), store.Check("08", want[8].Version), store.Put("08", []byte("on"))),
		"versions stand across a reopening")
	require.NotEqual(t, want[8].Version, get(t, s, "08").Version)
}
