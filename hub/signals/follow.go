package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/hub/store"
)

const (
	// glance is how often the store is looked at without news, for what another hub wrote into it.
	glance = 5 * time.Second
	// batch bounds one scan.
	batch = 50
	// The time until a follower that failed is told again, doubled each time.
	firstRetry, lastRetry = 250 * time.Millisecond, 30 * time.Second
)

// Follow tells a follower of every signal and every new sighting of one, in order, until the context ends. It begins where
// the follower of that name had come to, the first time with the oldest signal kept. The follower is told again, ever more
// rarely, of a signal for which it returned an error; and it may be told twice of one that it was told of just before a
// crash. Sightings that it has not kept up with are told as one.
func (i *Inbox) Follow(ctx context.Context, follower string, tell func(context.Context, signal.Signal) error) error {
	for retry := firstRetry; ctx.Err() == nil; {
		news := i.upcoming()
		more, err := i.tellOn(ctx, follower, tell)
		if err == nil {
			retry = firstRetry
			if !more {
				sleep(ctx, glance, news)
			}
			continue
		}
		if ctx.Err() == nil {
			i.log.WarnContext(ctx, "will tell again of a signal", "follower", follower, "error", err)
		}
		sleep(ctx, retry, nil)
		retry = min(2*retry, lastRetry)
	}
	return nil
}

// upcoming is closed when the next signal is written. It must be asked for before the store is read.
func (i *Inbox) upcoming() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.news
}

// tellOn tells of one batch, and takes down after each signal that it was told. more is true where there may be another.
func (i *Inbox) tellOn(ctx context.Context, follower string, tell func(context.Context, signal.Signal) error) (more bool, err error) {
	after, err := i.cursor(ctx, follower)
	if err != nil {
		return false, err
	}
	items, err := i.store.Scan(ctx, feedPrefix, after, batch)
	if err != nil {
		return false, err
	}
	for _, item := range items {
		var k kept
		if err := json.Unmarshal(item.Value, &k); err != nil {
			return false, fmt.Errorf("%s: %w", item.Key, err)
		}
		if err := tell(ctx, k.Signal); err != nil {
			return false, fmt.Errorf("signal %s: %w", k.Signal.ID, err)
		}
		if err := i.store.Commit(ctx, store.Put(cursorPrefix+follower, []byte(item.Key))); err != nil {
			return false, err
		}
	}
	return len(items) == batch, nil
}

func (i *Inbox) cursor(ctx context.Context, follower string) (string, error) {
	item, err := i.store.Get(ctx, cursorPrefix+follower)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return string(item.Value), err
}

func sleep(ctx context.Context, d time.Duration, news <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-timer.C:
	}
}
