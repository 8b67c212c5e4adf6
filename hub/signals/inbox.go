// Package signals takes in what spokes report and feeds it to those who reason about it.
//
// It promises that a signal is persisted before it is acknowledged, that one cause is one signal however often it is
// reported, and that a follower hears of each at least once, also across restarts. One cluster can neither crowd out
// another's signals nor speak in its name. It never acts on a signal, and takes nothing in one for more than a text.
package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/writ-dev/writ/api/signal"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store"
)

// ErrRateLimited is returned to a cluster that reports too much; it reports again later.
var ErrRateLimited = errors.New("too many signals from this cluster")

// Limits bound what one cluster may report and have kept.
type Limits struct {
	PerSecond rate.Limit // in the long run
	Burst     int
	Kept      int // signals; the ones reported longest ago are dropped beyond
}

// DefaultLimits suit a cluster on a bad day.
var DefaultLimits = Limits{PerSecond: 5, Burst: 50, Kept: 500}

// attempts bounds how often others may be quicker, where several hubs share a store.
const attempts = 10

// Inbox keeps signals. Make it with New.
type Inbox struct {
	store  store.Store
	limits Limits
	log    *slog.Logger
	now    func() time.Time

	writing sync.Mutex // one writer of the feed at a time

	mu       sync.Mutex // guards the fields below
	limiters map[string]*rate.Limiter
	news     chan struct{} // closed at the next signal
}

// New makes an inbox.
func New(s store.Store, limits Limits, log *slog.Logger, now func() time.Time) *Inbox {
	return &Inbox{store: s, limits: limits, log: log, now: now, limiters: map[string]*rate.Limiter{}, news: make(chan struct{})}
}

// Signal takes in a report from a spoke of the cluster, which must be the one that the connection proved. nil means that it
// is persisted, or that it never can be: a malformed report is logged and dropped.
func (i *Inbox) Signal(ctx context.Context, cluster string, report *writv1.SignalReport) error {
	err := i.Accept(ctx, cluster, signal.FromReport(cluster, report))
	if errors.Is(err, signal.ErrInvalid) {
		i.log.WarnContext(ctx, "dropped a signal", "cluster", cluster, "error", err)
		return nil
	}
	return err
}

// Accept validates a signal of a cluster and persists it: as a new one, or as another sighting of one that is kept.
func (i *Inbox) Accept(ctx context.Context, cluster string, s signal.Signal) error {
	now := i.now()
	if !i.limiter(cluster).AllowN(now, 1) {
		return ErrRateLimited
	}
	s.Cluster = cluster
	if err := s.Validate(now); err != nil {
		return err
	}
	i.writing.Lock()
	defer i.writing.Unlock()
	for range attempts {
		err := i.write(ctx, s)
		if err == nil {
			i.announce()
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("signal %s: others were quicker %d times: %w", s.ID, attempts, store.ErrConflict)
}

func (i *Inbox) limiter(cluster string) *rate.Limiter {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.limiters[cluster]
	if l == nil {
		l = rate.NewLimiter(i.limits.PerSecond, i.limits.Burst)
		i.limiters[cluster] = l
	}
	return l
}

// kept is a signal and where in the feed it stands.
type kept struct {
	Signal   signal.Signal `json:"signal"`
	Position uint64        `json:"position"`
}

// write puts a signal at the end of the feed, in place of an earlier sighting of it.
func (i *Inbox) write(ctx context.Context, s signal.Signal) error {
	old, known, err := i.find(ctx, s.Cluster, s.Fingerprint)
	if err != nil {
		return err
	}
	var ops []store.Op
	if known {
		if !s.LastSeen.After(old.Signal.LastSeen) {
			return nil // sent again, because the acknowledgement was lost
		}
		s = merge(old.Signal, s)
		ops = remove(old)
	} else if ops, err = i.makeRoom(ctx, s.Cluster); err != nil {
		return err
	}
	last, version, err := i.last(ctx)
	if err != nil {
		return err
	}
	put, err := add(kept{Signal: s, Position: last + 1})
	if err != nil {
		return err
	}
	ops = append(ops, store.Check(lastKey, version), store.Put(lastKey, []byte(strconv.FormatUint(last+1, 10))))
	return i.store.Commit(ctx, append(ops, put...)...)
}

// merge adds a sighting. The first one's ID and trace stay; a spoke that was restarted counts from one again.
func merge(old, s signal.Signal) signal.Signal {
	s.ID, s.Traceparent = old.ID, old.Traceparent
	if old.FirstSeen.Before(s.FirstSeen) {
		s.FirstSeen = old.FirstSeen
	}
	if s.Count <= old.Count {
		s.Count = min(old.Count+1, signal.MaxCount)
	}
	return s
}

func (i *Inbox) find(ctx context.Context, cluster, fingerprint string) (k kept, known bool, err error) {
	item, err := i.store.Get(ctx, signalKey(cluster, fingerprint))
	if errors.Is(err, store.ErrNotFound) {
		return k, false, nil
	}
	if err == nil {
		err = json.Unmarshal(item.Value, &k)
	}
	return k, err == nil, err
}

// makeRoom removes the signal of a cluster that was reported longest ago, where it has as many as are kept.
func (i *Inbox) makeRoom(ctx context.Context, cluster string) ([]store.Op, error) {
	order, err := i.store.Scan(ctx, orderPrefix+cluster+"/", "", i.limits.Kept)
	if err != nil || len(order) < i.limits.Kept {
		return nil, err
	}
	oldest, known, err := i.find(ctx, cluster, string(order[0].Value))
	if err != nil {
		return nil, err
	}
	if !known {
		return []store.Op{store.Delete(order[0].Key)}, nil
	}
	return append(remove(oldest), store.Delete(signalKey(cluster, oldest.Signal.Fingerprint))), nil
}

func (i *Inbox) last(ctx context.Context) (position, version uint64, err error) {
	item, err := i.store.Get(ctx, lastKey)
	if errors.Is(err, store.ErrNotFound) {
		return 0, 0, nil
	}
	if err == nil {
		position, err = strconv.ParseUint(string(item.Value), 10, 64)
	}
	return position, item.Version, err
}

// announce wakes the followers.
func (i *Inbox) announce() {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.news)
	i.news = make(chan struct{})
}
