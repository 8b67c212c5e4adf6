package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// head is the end of a cluster's queue: the last sequence signed, and the last one known to be in the spoke's journal.
type head struct {
	Epoch    uint64 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"`
	Taken    uint64 `json:"taken"`
}

// head reads a cluster's head; a cluster for which nothing was signed has the zero one, at version 0.
func (g *Gateway) head(ctx context.Context, cluster string) (head, uint64, error) {
	item, err := g.Store.Get(ctx, headPrefix+cluster)
	if errors.Is(err, store.ErrNotFound) {
		return head{}, 0, nil
	}
	if err != nil {
		return head{}, 0, err
	}
	var h head
	if err := json.Unmarshal(item.Value, &h); err != nil {
		return head{}, 0, fmt.Errorf("head of %s: %w", cluster, err)
	}
	return h, item.Version, nil
}

func putHead(cluster string, h head) store.Op {
	raw, _ := json.Marshal(h)
	return store.Put(headPrefix+cluster, raw)
}

func queueKey(cluster string, epoch, sequence uint64) string {
	return fmt.Sprintf("%s%s/%016x/%016x", queuePrefix, cluster, epoch, sequence)
}

// sign gives the order the cluster's next sequence number and signs the bundle around it. Record, queue and head change
// together. What the hub carries out itself needs neither.
func (g *Gateway) sign(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	if r.onHub() {
		return g.carryOut(r, now)
	}
	enrolled, ok, err := g.Clusters.Enrolled(ctx, r.Request.Cluster)
	if err != nil {
		return outcome{}, err
	}
	if !ok || enrolled.Audience != r.Order.Audience {
		return refuse(refusal.New("sign", refusal.ClusterUnknown, "cluster %s is no longer the one that was judged", r.Request.Cluster)), nil
	}
	if waits, err := g.unconfirmed(ctx, r.Request.Cluster); err != nil {
		return outcome{}, err
	} else if waits != "" {
		return waiting(now.Add(askAgain), "%s", waits), nil
	}
	lock := g.signingLock(r.Request.Cluster)
	lock.Lock() // first: whoever freezes waits for one signature of a cluster, and not for those that wait for it
	g.signers.RLock()
	leave := func() { g.signers.RUnlock(); lock.Unlock() }
	if no := g.stopped.Load().judge(r, now); no != nil { // whoever freezes waits for those who were let in before
		leave()
		return refuse(no), nil
	}
	out, err := g.signNext(ctx, r, enrolled.Epoch)
	if err != nil || out.result != Passed {
		leave()
		return out, err
	}
	out.done = leave // once the sequence is on disk
	return out, nil
}

// signNext signs the bundle after the one that the cluster's head names.
func (g *Gateway) signNext(ctx context.Context, r *Record, epoch uint64) (outcome, error) {
	h, version, err := g.head(ctx, r.Request.Cluster)
	if err != nil {
		return outcome{}, err
	}
	if h.Epoch != epoch {
		h = head{Epoch: epoch}
	}
	now := g.now().UTC()
	b := bundle.Bundle{
		Format: bundle.Format, ID: "bundle-" + r.Request.ID,
		Epoch: h.Epoch, Sequence: h.Sequence + 1, Previous: h.Digest,
		NotBefore: now, Expires: now.Add(bundle.MaxBundleLife),
		Traceparent: r.Trace, Order: r.OrderEnvelope,
	}
	envelope, err := g.seal(ctx, r.Request.Cluster, bundle.BundleType, b)
	if err != nil {
		return unsigned(err, now)
	}
	signed := Dispatched{ID: b.ID, Epoch: b.Epoch, Sequence: b.Sequence, Digest: bundle.Digest(envelope),
		Expires: b.Expires, Envelope: envelope}
	out := passed("bundle %d of epoch %d", b.Sequence, b.Epoch)
	out.learn = func(r *Record) { r.Bundle = &signed }
	out.ops = []store.Op{
		store.Check(headPrefix+r.Request.Cluster, version),
		putHead(r.Request.Cluster, head{Epoch: b.Epoch, Sequence: b.Sequence, Digest: signed.Digest, Taken: h.Taken}),
		store.Put(queueKey(r.Request.Cluster, b.Epoch, b.Sequence), envelope),
	}
	out.then = func() { g.notify(r.Request.Cluster) }
	return out, nil
}

// seal signs for a cluster with the gateway's key.
func (g *Gateway) seal(ctx context.Context, cluster, payloadType string, payload any) ([]byte, error) {
	signer, err := g.Signers.SignerFor(cluster)
	if err != nil {
		return nil, err
	}
	return bundle.Seal(ctx, payloadType, payload, signer)
}

// unsigned is for what could not be signed: where the key is away, the request says so and is taken up again.
func unsigned(err error, now time.Time) (outcome, error) {
	if errors.Is(err, bundle.ErrAway) {
		return waiting(now.Add(askAgain), "not signed, trying again: %s", refusal.OneLine(err.Error())), nil
	}
	return outcome{}, err
}

func (g *Gateway) signingLock(cluster string) *sync.Mutex {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.signing[cluster] == nil {
		g.signing[cluster] = &sync.Mutex{}
	}
	return g.signing[cluster]
}
