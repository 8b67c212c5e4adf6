package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
)

func scanOrder(t *testing.T, s store.Store) {
	for _, key := range []string{"b/2", "b", "a/9", "b/10", "c", "b/1", "b0", "b/\xff", "b/\xff\xff", "\xff\xff", "B/1"} {
		put(t, s, key, key)
	}
	for name, c := range map[string]struct {
		prefix, after string
		limit         int
		want          []string
	}{
		"all":                        {"", "", 99, []string{"B/1", "a/9", "b", "b/1", "b/10", "b/2", "b/\xff", "b/\xff\xff", "b0", "c", "\xff\xff"}},
		"a prefix":                   {"b/", "", 99, []string{"b/1", "b/10", "b/2", "b/\xff", "b/\xff\xff"}},
		"a prefix of the last bytes": {"b/\xff", "", 99, []string{"b/\xff", "b/\xff\xff"}},
		"nothing follows the prefix": {"\xff", "", 99, []string{"\xff\xff"}},
		"a prefix without keys":      {"d", "", 99, []string{}},
		"after a key":                {"b/", "b/10", 99, []string{"b/2", "b/\xff", "b/\xff\xff"}},
		"after an absent key":        {"b/", "b/11", 99, []string{"b/2", "b/\xff", "b/\xff\xff"}},
		"after the last":             {"b/", "b/\xff\xff", 99, []string{}},
		"after all of the prefix":    {"b/", "z", 99, []string{}},
		"after lies before":          {"b/", "a", 2, []string{"b/1", "b/10"}},
		"limited":                    {"b/", "", 1, []string{"b/1"}},
		"a limit of none":            {"", "", 0, []string{}},
		"a limit below none":         {"", "", -1, []string{}},
	} {
		items, err := s.Scan(t.Context(), c.prefix, c.after, c.limit)
		require.NoError(t, err, name)
		require.Equal(t, c.want, keys(items), name)
		for _, item := range items {
			require.Equal(t, item.Key, string(item.Value), name)
		}
	}
}

func scanPages(t *testing.T, s store.Store) {
	const total = 250
	var ops []store.Op
	for n := range total {
		ops = append(ops, store.Put(fmt.Sprintf("p/%d", n), []byte{byte(n)}))
	}
	for len(ops) > 0 {
		n := min(len(ops), store.MaxOps)
		require.NoError(t, s.Commit(t.Context(), ops[:n]...))
		ops = ops[n:]
	}
	seen, after := map[string]bool{}, ""
	for {
		page, err := s.Scan(t.Context(), "p/", after, 7)
		require.NoError(t, err)
		for _, item := range page {
			require.Greater(t, item.Key, after)
			seen[item.Key], after = true, item.Key
		}
		if len(page) < 7 {
			break
		}
	}
	require.Len(t, seen, total)
}
