package enrol

import (
	"context"
	"fmt"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/hub/store"
)

// ResetEpoch lets the sequence of one cluster, or of all that are live, begin anew in a higher epoch. raw is the statement, which
// the caller has verified; it is kept for the spokes, who verify it themselves. The names are those that were reset: whoever was
// there already, or further, stays. It may be said again.
func (s *Service) ResetEpoch(ctx context.Context, reset bundle.EpochReset, raw []byte) (names []string, err error) {
	if reset.TrustDomain != s.TrustDomain.Name() {
		return nil, fmt.Errorf("the epoch reset is for the trust domain %s, this is %s", reset.TrustDomain, s.TrustDomain)
	}
	live, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	known := false
	for _, c := range live {
		if !reset.For(s.TrustDomain.Name(), c.Name) {
			continue
		}
		known = true
		done, err := s.resetOne(ctx, c.Name, reset.Epoch, raw)
		if err != nil {
			return names, err
		}
		if done {
			names = append(names, c.Name)
		}
	}
	if !known && reset.Cluster != bundle.EveryCluster {
		return nil, fmt.Errorf("no cluster %q is enrolled", reset.Cluster)
	}
	return names, nil
}

// resetOne is in the audit log before it counts.
func (s *Service) resetOne(ctx context.Context, name string, epoch uint64, raw []byte) (done bool, err error) {
	_, err = s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		if done = old.Live() && old.Epoch < epoch; !done {
			return nil, nil, nil
		}
		if err := s.Recorder.RecordReset(ctx, name, epoch, raw, s.Now().UTC()); err != nil {
			return nil, nil, fmt.Errorf("put the epoch reset of %s on the audit log: %w", name, err)
		}
		old.Epoch, old.Reset = epoch, raw
		return &old, nil, nil
	})
	if err == nil && done {
		s.Log.InfoContext(ctx, "epoch reset", "cluster", name, "epoch", epoch)
	}
	return done, err
}
