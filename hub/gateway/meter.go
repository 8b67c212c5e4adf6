package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/writ-dev/writ/hub/store"
)

// Meter counts. It must not block.
type Meter interface {
	// Step hears how long a record stood at a step, and how that ended.
	Step(step, result string, took time.Duration)
	// Closed hears how a request ended; the reason is empty where nobody refused. The action is the requester's word.
	Closed(action, phase, reason string)
}

// countStep tells the meter of a step that was committed.
func (g *Gateway) countStep(out outcome) {
	if g.Meter != nil {
		g.Meter.Step(out.step, string(out.result), out.left.Sub(out.entered))
	}
}

// countClosed tells the meter of a record that was committed with no step left.
func (g *Gateway) countClosed(r *Record) {
	if g.Meter == nil {
		return
	}
	phase, _ := r.Phase()
	reason := ""
	switch {
	case r.Refusal != nil:
		reason = string(r.Refusal.Reason)
	case r.Receipt != nil && r.Receipt.Refusal != nil:
		reason = string(r.Receipt.Refusal.Reason)
	}
	g.Meter.Closed(r.Request.Action, string(phase), reason)
}

// stuckAfter is how long the steps that can be taken of one record may take: each only computes, or writes.
const stuckAfter = 5 * time.Minute

// pulse knows which records are being advanced, and since when.
type pulse struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func (p *pulse) begin(id string, at time.Time) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since == nil {
		p.since = map[string]time.Time{}
	}
	p.since[id] = at
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.since, id)
	}
}

// Alive is an error where a record's advance hangs: it holds a worker, and nothing but a restart takes it up again.
func (g *Gateway) Alive(context.Context) error {
	now := g.now()
	g.pulse.mu.Lock()
	defer g.pulse.mu.Unlock()
	for id, since := range g.pulse.since {
		if now.Sub(since) > stuckAfter {
			return fmt.Errorf("request %s hangs in its step since %s", id, since.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// Open is how many records are under way.
func (g *Gateway) Open(ctx context.Context) (n int, err error) {
	err = each(ctx, g.Store, openPrefix, func(store.Item) error { n++; return nil })
	return n, err
}

// Queued is how many bundles are signed for a cluster, in its present epoch, and not yet taken.
func (g *Gateway) Queued(ctx context.Context, cluster string, epoch uint64) (uint64, error) {
	h, _, err := g.head(ctx, cluster)
	if err != nil || h.Epoch != epoch {
		return 0, err
	}
	return h.Sequence - h.Taken, nil
}

// Acknowledged is the sequence of the last bundle that a cluster's spoke has said to have, in an epoch.
func (g *Gateway) Acknowledged(ctx context.Context, cluster string, epoch uint64) (uint64, error) {
	h, _, err := g.head(ctx, cluster)
	if err != nil || h.Epoch != epoch {
		return 0, err
	}
	return h.Taken, nil
}

// each visits what is kept under a prefix, a page at a time.
func each(ctx context.Context, s store.Store, prefix string, visit func(store.Item) error) error {
	for after := ""; ; {
		items, err := s.Scan(ctx, prefix, after, 500)
		if err != nil || len(items) == 0 {
			return err
		}
		for _, item := range items {
			if err := visit(item); err != nil {
				return err
			}
			after = item.Key
		}
	}
}
