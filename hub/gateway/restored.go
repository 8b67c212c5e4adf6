package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// The keys of what is kept of a restore.
const (
	restoredKey     = "restored"
	confirmedPrefix = "restored/" // by cluster: the restore since which its spoke has said where it stands
)

// restored says that the store was once set back: what was done between the two moments is not in it.
type restored struct {
	MadeAt time.Time `json:"madeAt"` // the backup
	At     time.Time `json:"at"`     // the restore
}

// Restored is what a restore writes into the store of a hub: until its spoke has confirmed where it stands, nothing is signed
// for a cluster, and nothing that was asked before the restore is begun anew.
func Restored(madeAt, at time.Time) store.Op {
	raw, _ := json.Marshal(restored{madeAt.UTC(), at.UTC()})
	return store.Put(restoredKey, raw)
}

// restored returns the last restore; nil where there was none.
func (g *Gateway) restored(ctx context.Context) (*restored, error) {
	item, err := g.Store.Get(ctx, restoredKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r restored
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return nil, fmt.Errorf("what the store says of its restore: %w", err)
	}
	return &r, nil
}

func (r *restored) id() string { return r.At.Format(time.RFC3339Nano) }

// forgotten refuses a request that was made before a restore and that the store does not know of: it may have been carried out.
func (g *Gateway) forgotten(ctx context.Context, r *Record) (*refusal.Refusal, error) {
	since, err := g.restored(ctx)
	if err != nil || since == nil || r.Entered.Before(since.At) || r.Request.CreatedAt.After(since.At) {
		return nil, err
	}
	return refusal.New("validate", refusal.HubRestored, "it was asked before the hub was restored from a backup of %s, and whether it was done is not known here: look at the target, then ask again",
		since.MadeAt.Format(time.RFC3339)), nil
}

// unconfirmed is why nothing can be signed for a cluster yet; empty where it can.
func (g *Gateway) unconfirmed(ctx context.Context, cluster string) (string, error) {
	since, err := g.restored(ctx)
	if err != nil || since == nil {
		return "", err
	}
	item, err := g.Store.Get(ctx, confirmedPrefix+cluster)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if string(item.Value) == since.id() {
		return "", nil
	}
	return fmt.Sprintf("cluster %s to say where it stands: the hub was restored from a backup of %s", cluster, since.MadeAt.Format(time.RFC3339)), nil
}

// Confirm hears where a spoke stands, once that agrees with what the store knows. A restored hub signs for the cluster from then
// on: all that the spoke has taken is known here.
func (g *Gateway) Confirm(ctx context.Context, cluster string, epoch, sequence uint64, digest string) error {
	since, err := g.restored(ctx)
	if err != nil || since == nil {
		return err
	}
	if known, err := g.knows(ctx, cluster, epoch, sequence, digest); !known || err != nil {
		return err
	}
	return g.Store.Commit(ctx, store.Put(confirmedPrefix+cluster, []byte(since.id())))
}

// knows reports whether the cluster's last bundle is the last one signed, or the one before what waits in its queue.
func (g *Gateway) knows(ctx context.Context, cluster string, epoch, sequence uint64, digest string) (bool, error) {
	h, _, err := g.head(ctx, cluster)
	if err != nil {
		return false, err
	}
	if h.Epoch != epoch {
		h = head{Epoch: epoch}
	}
	if sequence == h.Sequence {
		return digest == h.Digest, nil
	}
	item, err := g.Store.Get(ctx, queueKey(cluster, epoch, sequence+1))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d, no := bundle.Decode(item.Value)
	return no == nil && d.Bundle.Previous == digest, nil
}

// epochEnded refuses to wait any longer, from a time on, for the answer to a bundle whose epoch is over: the cluster was enrolled
// anew, or the root keys have reset its epoch, and nobody will take that bundle any more.
func (g *Gateway) epochEnded(ctx context.Context, r *Record, now, from time.Time) (*refusal.Refusal, error) {
	enrolled, ok, err := g.Clusters.Enrolled(ctx, r.Request.Cluster)
	if err != nil || !ok || enrolled.Epoch <= r.Bundle.Epoch || now.Before(from) {
		return nil, err
	}
	return refusal.New(r.Next, refusal.EpochEnded, "bundle %d was signed in epoch %d, cluster %s is in %d: whether it was carried out is not known here, look at the target, then ask again",
		r.Bundle.Sequence, r.Bundle.Epoch, r.Request.Cluster, enrolled.Epoch), nil
}
