// Package rotation changes the keys of a running fleet: the trust root, with the gateway's and the approvers' keys in it, and the
// authority that signs SVIDs.
//
// It promises that every step is on disk before it counts, that a spoke is told of what it lacks as soon as it is there, and that
// nothing is taken away before every spoke has said, from its own disk, that it needs it no more, or the limit for those who are
// away has passed. A trust root enters only by the signatures of the one before; the hub cannot make one.
package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

const (
	// keptKey holds the trust root, rootPrefix each version of it, holdingPrefix what each cluster's spoke has said that it trusts.
	keptKey       = "trust-root/kept"
	rootPrefix    = "trust-root/version/"
	holdingPrefix = "holding/"
	caKey         = "ca-rotation"
)

// Fleet is who is to follow.
type Fleet interface {
	// Live lists the clusters that are enrolled; Connected those of them whose spoke is there.
	Live(ctx context.Context) ([]string, error)
	Connected() []string
	// Announce has every connected spoke told what is new. It must not block.
	Announce()
}

// Parts are what a rotation is made of.
type Parts struct {
	Store  store.Store
	Fleet  Fleet
	Keys   Keys // the gateway's; they are read again as long as it runs
	CA     *identity.CA
	Source *identity.Source // the hub's own identity, which follows the CA
	Renew  identity.Renew   // makes the next of it
	// Advertise tells whoever is yet to join what is trusted now. It is asked again until it returns nil; nil tells nobody.
	Advertise func(ctx context.Context) error
	// Record appends to the audit log: when it returns nil, the entry is durable. The same entry may come twice.
	Record func(ctx context.Context, entry auditlog.Entry) error
	// Followed hears of a cluster whose spoke has said that it trusts something else than before; nil is nobody.
	Followed func(cluster string)
	Log      *slog.Logger
	Now      func() time.Time
}

// Rotation is safe for concurrent use. Make it with Open, start it with Run.
type Rotation struct {
	Parts
	root     *trust.Live
	keys     atomic.Pointer[[]*bundle.Key]
	problem  string       // with the keys, as it was logged last
	readAt   time.Time    // when Run last read them
	changes  atomic.Int64 // of what is trusted, since the start
	told     atomic.Int64 // of them, those that Advertise has agreed to
	turn     sync.Mutex   // held by the one who changes what is trusted
	mu       sync.Mutex   // guards the maps below
	holdings map[string]Holding
	versions map[int64]*trust.Root
}

// Holding is what a spoke has said that it trusts, on its disk.
type Holding struct {
	RootVersion   int64     `json:"rootVersion"`
	Authorities   string    `json:"authorities"`   // digest
	SVIDAuthority string    `json:"svidAuthority"` // key identifier of the authority that signed its SVID
	Problem       string    `json:"problem,omitempty"`
	At            time.Time `json:"at"`
}

// Open reads what is trusted from the store. pinned is the trust root of the hub's configuration: the first one, or the next.
func Open(ctx context.Context, parts Parts, pinned []byte) (*Rotation, error) {
	r := &Rotation{Parts: parts, holdings: map[string]Holding{}, versions: map[int64]*trust.Root{}}
	if err := r.openRoot(ctx, pinned); err != nil {
		return nil, err
	}
	if err := r.openKeys(ctx); err != nil {
		return nil, err
	}
	err := r.each(ctx, holdingPrefix, func(name string, value []byte) error {
		var h Holding
		if err := json.Unmarshal(value, &h); err != nil {
			return fmt.Errorf("what cluster %s trusts: %w", name, err)
		}
		r.holdings[name] = h
		return nil
	})
	return r, err
}

// look is how often the key file and the stage of the CA are looked at.
const look = time.Second

// Run follows the gateway's keys, and moves the rotation of the CA on, until the context ends.
func (r *Rotation) Run(ctx context.Context) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		r.followKeys(ctx)
		if err := r.moveCA(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "the CA's rotation stands still, will try again", "error", err)
		}
		r.advertise(ctx)
	}
}

// advertise asks Advertise where something has changed since it last agreed.
func (r *Rotation) advertise(ctx context.Context) {
	changes := r.changes.Load()
	if !r.telling() {
		return
	}
	if err := r.Advertise(ctx); err == nil {
		r.told.Store(changes)
	} else if ctx.Err() == nil {
		r.Log.WarnContext(ctx, "what is trusted is not advertised yet, will try again", "error", err)
	}
}

// telling reports whether something has changed that Advertise has not agreed to yet.
func (r *Rotation) telling() bool { return r.Advertise != nil && r.told.Load() != r.changes.Load() }

// Holds hears what a spoke trusts now.
func (r *Rotation) Holds(ctx context.Context, cluster string, t *writv1.Trusting) error {
	h := Holding{RootVersion: t.GetRootVersion(), Authorities: clip(t.GetAuthorities()), SVIDAuthority: clip(t.GetSvidAuthority()), Problem: clip(t.GetProblem())}
	r.mu.Lock()
	before := r.holdings[cluster]
	r.mu.Unlock()
	if h.At = before.At; h == before {
		return nil
	}
	h.At = r.Now().UTC()
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := r.Store.Commit(ctx, store.Put(holdingPrefix+cluster, raw)); err != nil {
		return err
	}
	r.mu.Lock()
	r.holdings[cluster] = h
	r.mu.Unlock()
	if r.Followed != nil {
		r.Followed(cluster)
	}
	if h.Problem != "" {
		r.Log.ErrorContext(ctx, "a spoke does not take what it was sent", "cluster", cluster, "problem", h.Problem)
	}
	return nil
}

// maxWord bounds what a spoke says, in bytes.
const maxWord = 512

func clip(said string) string { return said[:min(len(said), maxWord)] }

func (r *Rotation) holding(cluster string) (Holding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.holdings[cluster]
	return h, ok
}

// RootOf is the version of the trust root that a cluster's spoke has said to have on its disk; 0 where it has never said.
func (r *Rotation) RootOf(cluster string) int64 {
	h, _ := r.holding(cluster)
	return h.RootVersion
}

// each visits what is kept under a prefix, by name.
func (r *Rotation) each(ctx context.Context, prefix string, visit func(name string, value []byte) error) error {
	for after := ""; ; {
		items, err := r.Store.Scan(ctx, prefix, after, 100)
		if err != nil || len(items) == 0 {
			return err
		}
		for _, item := range items {
			if err := visit(item.Key[len(prefix):], item.Value); err != nil {
				return err
			}
			after = item.Key
		}
	}
}

func (r *Rotation) kept(ctx context.Context, key string) ([]byte, error) {
	item, err := r.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return item.Value, err
}

// Standing is how one cluster follows.
type Standing struct {
	Cluster   string `json:"cluster"`
	Connected bool   `json:"connected"`
	Known     bool   `json:"known"` // false: its spoke has never said what it trusts: it is of an older release, or was never there
	Holding
}

// Standings lists all live clusters, by name.
func (r *Rotation) Standings(ctx context.Context) ([]Standing, error) {
	names, err := r.Fleet.Live(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	connected := r.Fleet.Connected()
	all := make([]Standing, 0, len(names))
	for _, name := range names {
		h, ok := r.holding(name)
		all = append(all, Standing{Cluster: name, Connected: slices.Contains(connected, name), Known: ok, Holding: h})
	}
	return all, nil
}
