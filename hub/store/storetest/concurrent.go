package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
)

const writers = 16

// together runs writers at once, and waits for them.
func together(run func(writer int)) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	for w := range writers {
		wait.Go(func() {
			<-start
			run(w)
		})
	}
	close(start)
	wait.Wait()
}

// oneWins is what claiming, leader election and single-use tokens stand on.
func oneWins(t *testing.T, s store.Store) {
	var version uint64
	for range 20 {
		var won, lost atomic.Int32
		together(func(w int) {
			err := s.Commit(t.Context(), store.Check("a", version), store.Put("a", []byte(strconv.Itoa(w))),
				store.Put(fmt.Sprintf("w/%d/%d", version, w), nil))
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrConflict):
				lost.Add(1)
			default:
				assert.NoError(t, err)
			}
		})
		require.EqualValues(t, 1, won.Load())
		require.EqualValues(t, writers-1, lost.Load())
		item := get(t, s, "a")
		left, err := s.Scan(t.Context(), fmt.Sprintf("w/%d/", version), "", writers)
		require.NoError(t, err)
		require.Equal(t, []string{fmt.Sprintf("w/%d/%s", version, item.Value)}, keys(left), "the losers wrote nothing")
		version = item.Version
	}
}

// counter is the loop of every caller: read, decide, commit under a check, again after a conflict.
func counter(t *testing.T, s store.Store) {
	const each = 10
	together(func(int) {
		for range each {
			for {
				err := increment(t.Context(), s)
				if err == nil {
					break
				}
				if !assert.ErrorIs(t, err, store.ErrConflict) {
					return
				}
			}
		}
	})
	require.Equal(t, strconv.Itoa(writers*each), string(get(t, s, "n").Value))
}

func increment(ctx context.Context, s store.Store) error {
	item, err := s.Get(ctx, "n")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(string(item.Value))
	return s.Commit(ctx, store.Check("n", item.Version), store.Put("n", []byte(strconv.Itoa(n+1))))
}

// A commit conflicts with nothing but its own checks.
func blindWriters(t *testing.T, s store.Store) {
	const each = 10
	together(func(w int) {
		for n := range each {
			assert.NoError(t, s.Commit(t.Context(), store.Put("shared", []byte{byte(w)}), store.Put(fmt.Sprintf("own/%d/%d", w, n), nil)))
		}
	})
	require.Len(t, everything(t, s), writers*each+1)
}

func wholeCommits(t *testing.T, s store.Store) {
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			items, err := s.Scan(t.Context(), "pair/", "", 2)
			if !assert.NoError(t, err) || !assert.NotEqual(t, 1, len(items)) {
				return
			}
			if len(items) == 2 {
				assert.Equal(t, items[0].Value, items[1].Value)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	together(func(w int) {
		for n := range 5 {
			value := []byte(fmt.Sprintf("%d/%d", w, n))
			assert.NoError(t, s.Commit(t.Context(), store.Put("pair/a", value), store.Put("pair/b", value)))
		}
	})
	close(done)
	reader.Wait()
}
