package rotation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/hub/store"
)

// ErrRefused is wrapped where what was to be published is not taken; nothing has changed then.
var ErrRefused = errors.New("not published")

// Present implements trust.Source.
func (r *Rotation) Present() *trust.Root { return r.root.Present() }

func versionKey(version int64) string { return fmt.Sprintf("%s%016x", rootPrefix, version) }

// openRoot settles which trust root counts: what was published, or the file where that is the first or the next one.
func (r *Rotation) openRoot(ctx context.Context, pinned []byte) error {
	file, err := trust.Pinned(pinned)
	if err != nil {
		return err
	}
	raw, err := r.kept(ctx, keptKey)
	if err != nil {
		return err
	}
	root, kept := file, raw != nil
	if kept {
		if root, err = trust.Recall(raw); err != nil {
			return err
		}
		err = r.each(ctx, rootPrefix, func(_ string, value []byte) error {
			version, err := trust.Pinned(value)
			if err == nil {
				r.versions[version.Version()] = version
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	switch {
	case !kept:
		err = r.keep(ctx, root)
	case file.Version() == root.Version() && !file.Same(root):
		return fmt.Errorf("%w: version %d of the configuration is not the version %d that was published: one of them was not made by the same people",
			trust.ErrRoot, file.Version(), root.Version())
	case file.Version() > root.Version():
		before := root
		if root, err = root.Walk([][]byte{pinned}, r.Now()); err == nil {
			err = r.succeed(ctx, before, root)
		}
	}
	if err != nil {
		return err
	}
	r.root = trust.NewLive(root)
	return root.Valid(r.Now())
}

// succeed puts on the audit log that a trust root follows another, then writes it down: none counts that the log does not have.
func (r *Rotation) succeed(ctx context.Context, before, root *trust.Root) error {
	err := r.Record(ctx, auditlog.Entry{Type: auditlog.TypeTrustRoot, Time: r.Now(), TrustRoot: &auditlog.TrustRoot{Version: root.Version(),
		Digest: bundle.Digest(root.Bytes()), Before: bundle.Digest(before.Bytes()), Expires: root.Expires()}})
	if err != nil {
		return fmt.Errorf("version %d of the trust root is not published, as that could not be put on the audit log: %w", root.Version(), err)
	}
	return r.keep(ctx, root)
}

// keep writes a trust root down.
func (r *Rotation) keep(ctx context.Context, root *trust.Root) error {
	if err := r.Store.Commit(ctx, store.Put(keptKey, root.Keep()), store.Put(versionKey(root.Version()), root.Bytes())); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[root.Version()] = root
	return nil
}

// Publish takes trust roots in, each by the signatures of the one before, tells every spoke that is there, and returns the version
// that counts then. What was published before may be said again. The error is for whoever sent them; nothing has changed then.
func (r *Rotation) Publish(ctx context.Context, chain [][]byte) (version int64, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	root := r.Present()
	for len(chain) > 0 && r.known(chain[0]) {
		chain = chain[1:]
	}
	if len(chain) == 0 {
		return root.Version(), nil
	}
	if err := r.readKeys(ctx); err != nil {
		return 0, err
	}
	var steps []*trust.Root
	for _, raw := range chain { // one by one: each is kept, for spokes that are behind
		if root, err = root.Walk([][]byte{raw}, r.Now()); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		steps = append(steps, root)
	}
	if _, err := r.keyOf(root); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	for _, step := range steps {
		if err := r.succeed(ctx, r.Present(), step); err != nil {
			return 0, err
		}
		r.root.Set(step)
	}
	r.changes.Add(1)
	r.Log.InfoContext(ctx, "published the trust root", "version", root.Version(), "expires", root.Expires())
	r.Fleet.Announce()
	return root.Version(), nil
}

// known reports whether bytes are a version that was published before.
func (r *Rotation) known(raw []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, root := range r.versions {
		if bytes.Equal(root.Bytes(), raw) {
			return true
		}
	}
	return false
}

// SignerFor implements gateway.Signers: a spoke that has not taken the present trust root yet is signed for with the key that it
// knows, where the hub still has that.
func (r *Rotation) SignerFor(cluster string) (bundle.Signer, error) {
	present := r.Present()
	if behind := r.behind(cluster, present); behind != nil {
		if key, err := r.keyOf(behind); err == nil {
			return key, nil
		}
	}
	return r.keyOf(present)
}

// behind is the trust root that a cluster holds, if it is an older one: the first where its spoke has never said.
func (r *Rotation) behind(cluster string, present *trust.Root) *trust.Root {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.holdings[cluster]
	if ok && h.RootVersion >= present.Version() {
		return nil
	}
	if ok {
		return r.versions[h.RootVersion]
	}
	first := present.Version()
	for version := range r.versions {
		first = min(first, version)
	}
	return r.versions[first]
}

// TrustStatus is the trust root that counts, and who has it.
type TrustStatus struct {
	Version  int64      `json:"version"`
	Expires  time.Time  `json:"expires"`
	Revoked  []string   `json:"revoked,omitempty"`
	Behind   []string   `json:"behind"` // who has not taken it
	Clusters []Standing `json:"clusters"`
}

// TrustStatus says which trust root counts, and who has it.
func (r *Rotation) TrustStatus(ctx context.Context) (TrustStatus, error) {
	root := r.Present()
	all, err := r.Standings(ctx)
	s := TrustStatus{Version: root.Version(), Expires: root.Expires(), Revoked: root.Revoked(), Behind: []string{}, Clusters: []Standing{}}
	for _, c := range all {
		s.add(c)
	}
	return s, err
}

func (s *TrustStatus) add(c Standing) {
	s.Clusters = append(s.Clusters, c)
	if c.RootVersion < s.Version {
		s.Behind = append(s.Behind, c.Cluster)
	}
}
