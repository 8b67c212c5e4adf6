// Package storetest is the contract of store.Store as tests: one suite, which every backend passes.
//
// It proves what can be seen from outside one process. That a backend survives the death of its process is for the
// backend's own tests.
package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
)

// Backend is what the suite needs of a backend.
type Backend struct {
	// Open makes an empty store of the test's own.
	Open func(t *testing.T) store.Store
	// Reopen closes what Open made and opens it again with its content.
	Reopen func(t *testing.T, s store.Store) store.Store
}

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	for name, test := range map[string]func(*testing.T, store.Store){
		"what is put is got":                       putAndGet,
		"a version changes with every write":       versions,
		"deleted is absent":                        deletion,
		"values are copied":                        copies,
		"a check compares exactly":                 checks,
		"a commit is all or nothing":               allOrNothing,
		"a scan is in order and within bounds":     scanOrder,
		"a scan pages through everything once":     scanPages,
		"the limits are taken":                     atTheLimits,
		"beyond the limits nothing is written":     beyondTheLimits,
		"an ended context writes nothing":          endedContext,
		"of the same check one wins":               oneWins,
		"no update is lost":                        counter,
		"blind writers don't hinder each other":    blindWriters,
		"a reader sees all or nothing of a commit": wholeCommits,
	} {
		t.Run(name, func(t *testing.T) { test(t, b.Open(t)) })
	}
	t.Run("what is committed is there after a reopening", func(t *testing.T) { reopened(t, b) })
}

func put(t *testing.T, s store.Store, key, value string) store.Item {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), store.Put(key, []byte(value))))
	return get(t, s, key)
}

func get(t *testing.T, s store.Store, key string) store.Item {
	t.Helper()
	item, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	return item
}

func absent(t *testing.T, s store.Store, key string) {
	t.Helper()
	_, err := s.Get(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// everything is all that is stored.
func everything(t *testing.T, s store.Store) []store.Item {
	t.Helper()
	items, err := s.Scan(t.Context(), "", "", 10_000)
	require.NoError(t, err)
	return items
}

func keys(items []store.Item) []string {
	list := make([]string, 0, len(items))
	for _, item := range items {
		list = append(list, item.Key)
	}
	return list
}
