package signals_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/hub/signals"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// clock is set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func open(t *testing.T) *badgerstore.Store {
	t.Helper()
	s, err := badgerstore.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func inbox(s store.Store, c *clock, limits signals.Limits) *signals.Inbox {
	return signals.New(s, limits, slog.New(slog.DiscardHandler), c.now)
}

// sighting is of trouble with the object of that UID.
func sighting(uid string, at time.Time, count uint32) signal.Signal {
	fingerprint := signal.Fingerprint(signal.DeploymentNotProgressing, uid, 1, "x")
	return signal.Signal{ID: signal.IDOf(fingerprint), Fingerprint: fingerprint, Reason: signal.DeploymentNotProgressing,
		Object:   signal.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: uid},
		Severity: signal.Warning, FirstSeen: at, LastSeen: at, Count: count}
}

// stored is everything under signal/.
func stored(t *testing.T, s store.Store) []store.Item {
	t.Helper()
	items, err := s.Scan(t.Context(), "signal/", "", 10_000)
	require.NoError(t, err)
	return items
}

// hear follows until count signals were told, and returns them.
func hear(t *testing.T, i *signals.Inbox, follower string, count int) []signal.Signal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var told []signal.Signal
	require.NoError(t, i.Follow(ctx, follower, func(_ context.Context, s signal.Signal) error {
		if len(told) == count {
			return errors.New("more than was waited for")
		}
		if told = append(told, s); len(told) == count {
			time.AfterFunc(50*time.Millisecond, cancel) // the cursor is written after this returns
		}
		return nil
	}))
	require.Len(t, told, count)
	return told
}

func TestOneCauseIsOneSignal(t *testing.T) {
	s, c := open(t), &clock{at: start}
	in := inbox(s, c, signals.DefaultLimits)
	first := sighting("u1", start, 1)
	first.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	require.NoError(t, in.Accept(t.Context(), "east", first))
	before := stored(t, s)
	require.NoError(t, in.Signal(t.Context(), "east", first.Report()), "sent again")
	require.Equal(t, before, stored(t, s), "what is sent again changes nothing")

	c.pass(time.Minute)
	restarted := sighting("u1", c.now(), 1) // counts from one, in a new trace
	restarted.Severity = signal.Critical
	require.NoError(t, in.Accept(t.Context(), "east", restarted))
	require.Len(t, stored(t, s), len(before), "nothing piles up")
	told := hear(t, in, "a", 1)[0]
	require.Equal(t, "east", told.Cluster)
	require.EqualValues(t, 2, told.Count)
	require.Equal(t, first.FirstSeen, told.FirstSeen)
	require.Equal(t, c.now(), told.LastSeen)
	require.Equal(t, first.Traceparent, told.Traceparent)
	require.Equal(t, signal.Critical, told.Severity)
}

func TestRefusedSignalsWriteNothing(t *testing.T) {
	s, c := open(t), &clock{at: start}
	in := inbox(s, c, signals.Limits{PerSecond: 1, Burst: 3, Kept: 5})
	bad := sighting("u1", start, 0)
	require.ErrorIs(t, in.Accept(t.Context(), "east", bad), signal.ErrInvalid)
	require.NoError(t, in.Signal(t.Context(), "east", bad.Report()), "is acknowledged, or it would come for ever")
	require.Empty(t, stored(t, s))

	require.NoError(t, in.Accept(t.Context(), "east", sighting("u1", start, 1)))
	before := stored(t, s)
	require.ErrorIs(t, in.Accept(t.Context(), "east", sighting("u2", start, 1)), signals.ErrRateLimited)
	require.Equal(t, before, stored(t, s))
	require.NoError(t, in.Accept(t.Context(), "west", sighting("u2", start, 1)), "another cluster has its own limit")
	c.pass(time.Second)
	require.NoError(t, in.Accept(t.Context(), "east", sighting("u2", start, 1)))
}

func TestAClusterCrowdsOutOnlyItself(t *testing.T) {
	s, c := open(t), &clock{at: start}
	in := inbox(s, c, signals.Limits{PerSecond: 1000, Burst: 1000, Kept: 3})
	require.NoError(t, in.Accept(t.Context(), "west", sighting("w", start, 1)))
	for n := range 10 {
		require.NoError(t, in.Accept(t.Context(), "east", sighting(fmt.Sprintf("u%d", n), start, 1)))
	}
	var uids []string
	for _, told := range hear(t, in, "a", 4) {
		uids = append(uids, told.Object.UID)
	}
	require.Equal(t, []string{"w", "u7", "u8", "u9"}, uids)
	require.Len(t, stored(t, s), 4*3+2)
}

func TestAFollowerMissesNothingAcrossRestartsAndFaults(t *testing.T) {
	s, c := open(t), &clock{at: start}
	in := inbox(s, c, signals.DefaultLimits)
	require.NoError(t, in.Accept(t.Context(), "east", sighting("u1", start, 1)))
	require.Equal(t, "u1", hear(t, in, "a", 1)[0].Object.UID)

	require.NoError(t, in.Accept(t.Context(), "east", sighting("u2", start, 1)))
	in = inbox(s, c, signals.DefaultLimits) // the hub was restarted
	told := make(chan string, 10)
	failed := false
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- in.Follow(ctx, "a", func(_ context.Context, s signal.Signal) error {
			if !failed {
				failed = true
				return errors.New("a fault")
			}
			told <- s.Object.UID
			return nil
		})
	}()
	require.Equal(t, "u2", <-told, "told again after the fault, and not of what it heard before")
	require.NoError(t, in.Accept(t.Context(), "east", sighting("u3", start, 1)))
	select {
	case uid := <-told:
		require.Equal(t, "u3", uid)
	case <-time.After(2 * time.Second): // without news it would look again after five
		t.Fatal("a follower that waits was not woken")
	}
	cancel()
	require.NoError(t, <-ended)
	require.Len(t, hear(t, in, "b", 3), 3, "a new follower hears all that is kept")
}

func TestManyClustersAtOnce(t *testing.T) {
	s, c := open(t), &clock{at: start}
	in := inbox(s, c, signals.DefaultLimits)
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			if err := in.Accept(t.Context(), fmt.Sprintf("c%d", n%4), sighting(fmt.Sprintf("u%d", n), start, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Len(t, hear(t, in, "a", 40), 40)
}
