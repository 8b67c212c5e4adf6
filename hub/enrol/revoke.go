package enrol

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/hub/store"
)

// Revocation says that a cluster's identity counts for nothing any more.
type Revocation struct {
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	Recorded bool      `json:"recorded,omitempty"` // it is on the audit log
}

// Revoke ends the identity of a cluster for good, also one that has not enrolled yet. Its calls are refused from the moment at
// which the record is written, and its connections are closed; then the audit log is told, and told again by whoever repeats the
// call after an error. Only Forget gives the name free.
func (s *Service) Revoke(ctx context.Context, name, reason string) error {
	c, err := s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		if old.Revoked != nil {
			return nil, nil, nil
		}
		next := old
		next.Revoked = &Revocation{Reason: reason, At: s.Now().UTC()}
		return &next, nil, nil
	})
	if err != nil {
		return err
	}
	s.ended(name)
	s.changed(name)
	if c.Revoked.Recorded {
		return nil
	}
	s.Log.WarnContext(ctx, "revoked", "cluster", name, "reason", c.Revoked.Reason)
	if err := s.Recorder.RecordRevocation(ctx, name, c.Revoked.Reason, c.Revoked.At); err != nil {
		return fmt.Errorf("cluster %s is revoked, and that is not on the audit log yet: %w", name, err)
	}
	_, err = s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		if old.Revoked == nil || old.Revoked.Recorded {
			return nil, nil, nil
		}
		next, recorded := old, *old.Revoked
		recorded.Recorded = true
		next.Revoked = &recorded
		return &next, nil, nil
	})
	return err
}

// Forget retires a cluster: what is left of it is its epoch, so that the name starts a new one if it is ever registered again.
// Its UID may join under another name. Forgetting what is not known changes nothing.
func (s *Service) Forget(ctx context.Context, name string) error {
	c, err := s.load(ctx, name)
	if err != nil {
		return err
	}
	if c.Live() {
		if err := s.Revoke(ctx, name, "the cluster was deleted"); err != nil {
			return err
		}
	}
	_, err = s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		if !old.known() {
			return nil, nil, nil
		}
		return &Cluster{Name: name, Epoch: old.Epoch}, release(old), nil
	})
	return err
}

// Known are the names of all clusters that were registered and not forgotten.
func (s *Service) Known(ctx context.Context) (names []string, err error) {
	err = s.each(ctx, func(c Cluster) {
		if c.known() {
			names = append(names, c.Name)
		}
	})
	return names, err
}

func (c Cluster) known() bool { return c.TokenHash != "" || c.Revoked != nil }

func (s *Service) changed(name string) {
	if s.Changed != nil {
		s.Changed(name)
	}
}

func (s *Service) ended(name string) {
	if s.Ended != nil {
		s.Ended(name)
	}
}

// release frees what a claim holds.
func release(c Cluster) []store.Op {
	if c.Claim == nil {
		return nil
	}
	return []store.Op{store.Delete(uidKey(c.Claim.ClusterUID))}
}
