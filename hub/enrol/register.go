package enrol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

// ErrRegistration is wrapped by every error about a registration that must be changed by whoever made it.
var ErrRegistration = errors.New("registration refused")

// Register takes in that a cluster may join with the token of this hash (SHA-256, hex), issued then. Saying the same again
// changes nothing. Another token takes the place of one that was not used; a cluster that has enrolled stays as it is.
func (s *Service) Register(ctx context.Context, name, tokenHash string, issuedAt time.Time) error {
	if _, err := identity.Cluster(s.TrustDomain, name); err != nil {
		return fmt.Errorf("%w: %w", ErrRegistration, err)
	}
	if digest, err := hex.DecodeString(tokenHash); err != nil || len(digest) != 32 {
		return fmt.Errorf("%w: the token's hash is not 64 hex digits", ErrRegistration)
	}
	_, err := s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		switch {
		case old.TokenHash == tokenHash:
			return nil, nil, nil
		case old.Live():
			return nil, nil, fmt.Errorf("%w: cluster %s has enrolled; delete it first if another one is to take its name", ErrRegistration, name)
		case issuedAt.After(s.Now().Add(skew)):
			return nil, nil, fmt.Errorf("%w: the token of cluster %s is issued in the future: set the clock of the machine that registers", ErrRegistration, name)
		}
		return &Cluster{Name: name, TokenHash: tokenHash, IssuedAt: issuedAt, Epoch: old.Epoch}, release(old), nil
	})
	return err
}

// Forget ends a cluster: from the next call on its spoke is refused, and its UID may join under another name. The epoch is
// kept, so that the name starts a new one if it is ever registered again. Forgetting what is not known changes nothing.
func (s *Service) Forget(ctx context.Context, name string) error {
	_, err := s.change(ctx, name, func(old Cluster) (*Cluster, []store.Op, error) {
		if old.TokenHash == "" {
			return nil, nil, nil
		}
		return &Cluster{Name: name, Epoch: old.Epoch}, release(old), nil
	})
	return err
}

// release frees what a claim holds.
func release(c Cluster) []store.Op {
	if c.Claim == nil {
		return nil
	}
	return []store.Op{store.Delete(uidKey(c.Claim.ClusterUID))}
}
