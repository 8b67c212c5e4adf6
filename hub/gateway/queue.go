package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/capability"
)

// Next returns the first bundle of a cluster's queue after a sequence; ok is false where there is none, and before it is known
// what is frozen.
func (g *Gateway) Next(ctx context.Context, cluster string, after uint64) (sequence uint64, envelope []byte, ok bool, err error) {
	if g.published.Load() == nil {
		return 0, nil, false, nil
	}
	enrolled, ok, err := g.Clusters.Enrolled(ctx, cluster)
	if err != nil || !ok {
		return 0, nil, false, err
	}
	prefix := fmt.Sprintf("%s%s/%016x/", queuePrefix, cluster, enrolled.Epoch)
	items, err := g.Store.Scan(ctx, prefix, queueKey(cluster, enrolled.Epoch, after), 1)
	if err != nil || len(items) == 0 {
		return 0, nil, false, err
	}
	if _, err := fmt.Sscanf(items[0].Key[len(prefix):], "%x", &sequence); err != nil {
		return 0, nil, false, fmt.Errorf("queue key %q: %w", items[0].Key, err)
	}
	return sequence, items[0].Value, true, nil
}

// Wake returns the channel on which a cluster's sender hears that there may be something new.
func (g *Gateway) Wake(cluster string) <-chan struct{} { return g.wakeOf(cluster) }

func (g *Gateway) wakeOf(cluster string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wake[cluster] == nil {
		g.wake[cluster] = make(chan struct{}, 1)
	}
	return g.wake[cluster]
}

// notify wakes a cluster's sender. It never blocks: one pending wake is enough.
func (g *Gateway) notify(cluster string) {
	select {
	case g.wakeOf(cluster) <- struct{}{}:
	default:
	}
}

// Position is where a cluster's queue ends, unsigned.
func (g *Gateway) Position(ctx context.Context, cluster string) (epoch, sequence uint64, digest string, err error) {
	h, _, err := g.head(ctx, cluster)
	return h.Epoch, h.Sequence, h.Digest, err
}

// Head is the signed end of a cluster's queue, with what is frozen there, as a spoke of that capability can hold it.
func (g *Gateway) Head(ctx context.Context, cluster string, capable uint32) ([]byte, error) {
	enrolled, ok, err := g.Clusters.Enrolled(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("cluster %s has not enrolled", cluster)
	}
	h, _, err := g.head(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if h.Epoch != enrolled.Epoch {
		h = head{Epoch: enrolled.Epoch}
	}
	var freezes *bundle.Freezes
	if capable >= capability.Freezes {
		freezes = g.Frozen(cluster)
	}
	if freezes != nil && capable < capability.Withdrawals {
		spared := freezes.Spared()
		freezes = &spared
	}
	return g.seal(ctx, cluster, bundle.HeadType, bundle.Head{Audience: enrolled.Audience, Epoch: h.Epoch, Sequence: h.Sequence,
		Digest: h.Digest, At: g.now().UTC().Truncate(time.Millisecond), Freezes: freezes})
}
