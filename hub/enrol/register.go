package enrol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

// ErrRegistration is wrapped by every error about a registration that must be changed by whoever made it.
var ErrRegistration = errors.New("registration refused")

// Register takes in what is declared of a cluster that may join. Saying the same again changes nothing. Another token takes the
// place of one that was not used; a cluster that has enrolled stays as it is, unless the token is for it to join anew. Without a
// pin the record is kept, and nobody is let in.
func (s *Service) Register(ctx context.Context, name string, spec v1alpha1.ClusterSpec) error {
	if _, err := identity.Cluster(s.TrustDomain, name); err != nil {
		return fmt.Errorf("%w: %w", ErrRegistration, err)
	}
	if digest, err := hex.DecodeString(spec.Join.SHA256); err != nil || len(digest) != 32 {
		return fmt.Errorf("%w: the token's hash is not 64 hex digits", ErrRegistration)
	}
	var pin *Pin
	if spec.Workload != nil {
		var err error
		if pin, err = ParsePin(*spec.Workload); err != nil {
			return fmt.Errorf("%w: cluster %s: %w", ErrRegistration, name, err)
		}
	}
	_, err := s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		if old.TokenHash == spec.Join.SHA256 {
			return accepted(old, spec), nil, nil
		}
		if err := s.mayRegister(old, spec, pin); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrRegistration, err)
		}
		next := &Cluster{Name: name, TokenHash: spec.Join.SHA256, IssuedAt: spec.Join.IssuedAt.Time, Epoch: old.Epoch, Pin: pin,
			Manual: spec.Accept == v1alpha1.AcceptManual, Accepted: spec.Accepted}
		if !old.Live() {
			return next, release(old), nil
		}
		next.Claim, next.EnrolledAt, next.Reset = old.Claim, old.EnrolledAt, old.Reset // until the other one comes
		if next.Claim.TokenHash == "" {
			before := *old.Claim
			before.TokenHash = old.TokenHash
			next.Claim = &before
		}
		return next, nil, nil
	})
	if err == nil {
		s.changed(name)
	}
	return err
}

// mayRegister says whether another token may take the place of what there is.
func (s *Service) mayRegister(old Cluster, spec v1alpha1.ClusterSpec, pin *Pin) error {
	switch {
	case old.Revoked != nil:
		return fmt.Errorf("cluster %s is revoked; remove it first if another one is to take its name", old.Name)
	case old.Live() && !spec.Join.Rejoin:
		return fmt.Errorf("cluster %s has enrolled; remove it first if another one is to take its name, or let it rejoin", old.Name)
	case old.Live() && (pin == nil || pin.ClusterUID != old.Claim.ClusterUID):
		return fmt.Errorf("cluster %s is another one than the one that enrolled under this name; remove it first", old.Name)
	case spec.Join.IssuedAt.After(s.Now().Add(skew)):
		return fmt.Errorf("the token of cluster %s is issued in the future: set the clock of the machine that registers", old.Name)
	}
	return nil
}

// accepted is the record with a word on who is accepted; nil where that changes nothing.
func accepted(old Cluster, spec v1alpha1.ClusterSpec) *Cluster {
	if old.Accepted == spec.Accepted {
		return nil
	}
	next := old
	next.Accepted = spec.Accepted
	return &next
}
