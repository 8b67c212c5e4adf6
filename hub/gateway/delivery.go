package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// acknowledgeAtOnce is how many bundles leave a queue in one commit, which holds a bounded number of operations.
const acknowledgeAtOnce = 50

// Taken hears that all bundles up to a sequence are in a spoke's journal: they leave the queue, and their records move on.
func (g *Gateway) Taken(ctx context.Context, cluster string, epoch, sequence uint64, _ string) error {
	for {
		h, version, err := g.head(ctx, cluster)
		if err != nil {
			return err
		}
		if h.Epoch != epoch || sequence <= h.Taken || sequence > h.Sequence {
			return nil
		}
		last := min(sequence, h.Taken+acknowledgeAtOnce)
		ops := []store.Op{store.Check(headPrefix+cluster, version)}
		for n := h.Taken + 1; n <= last; n++ {
			if err := g.markTaken(ctx, cluster, epoch, n); err != nil {
				return err
			}
			ops = append(ops, store.Delete(queueKey(cluster, epoch, n)))
		}
		h.Taken = last
		err = g.Store.Commit(ctx, append(ops, putHead(cluster, h))...)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func (g *Gateway) markTaken(ctx context.Context, cluster string, epoch, sequence uint64) error {
	id, err := g.queued(ctx, cluster, epoch, sequence)
	if err != nil || id == "" {
		return err
	}
	return g.change(ctx, id, func(r *Record) bool {
		if r.TakenAt != nil {
			return false
		}
		now := g.now()
		r.TakenAt, r.Blocked = &now, ""
		return true
	})
}

// queued is the ID of the request whose bundle waits under a sequence; empty where none does.
func (g *Gateway) queued(ctx context.Context, cluster string, epoch, sequence uint64) (string, error) {
	item, err := g.Store.Get(ctx, queueKey(cluster, epoch, sequence))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	d, no := bundle.Decode(item.Value)
	if no != nil {
		return "", fmt.Errorf("queue of %s at %d: %s", cluster, sequence, no)
	}
	return d.Order.RequestID, nil
}

// Rejected hears that a spoke did not take a bundle. One that it had taken before is done with; any other stays at the head
// of the queue, and its request says why.
func (g *Gateway) Rejected(ctx context.Context, cluster string, sequence uint64, reason, detail string) error {
	h, _, err := g.head(ctx, cluster)
	if err != nil {
		return err
	}
	if refusal.Reason(reason) == refusal.SequenceReplayed {
		return g.Taken(ctx, cluster, h.Epoch, sequence, "")
	}
	g.log.ErrorContext(ctx, "a spoke did not take a bundle", "cluster", cluster, "sequence", sequence, "reason", reason, "detail", detail)
	id, err := g.queued(ctx, cluster, h.Epoch, sequence)
	if err != nil || id == "" {
		return err
	}
	return g.change(ctx, id, func(r *Record) bool {
		blocked := reason + ": " + detail
		if r.Request.Cluster != cluster || r.Blocked == blocked {
			return false
		}
		r.Blocked = blocked
		return true
	})
}
