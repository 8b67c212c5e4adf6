package enrol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

// Cluster is the live record of one. What a spoke may do follows from it, not from the spoke's certificate.
type Cluster struct {
	Name      string    `json:"name"`
	TokenHash string    `json:"tokenHash,omitempty"` // SHA-256, hex; empty once the cluster was forgotten
	IssuedAt  time.Time `json:"issuedAt,omitzero"`
	// Epoch counts who has used a token of this name, and never goes back, so that no sequence is ever used twice.
	Epoch uint64 `json:"epoch"`
	// Claim is what came with the token's one use; nil before it.
	Claim *Claim `json:"claim,omitempty"`
	// EnrolledAt is set once the enrolment is in the audit log. Only then is the cluster live.
	EnrolledAt *time.Time `json:"enrolledAt,omitempty"`

	version uint64 // in the store; 0 where there is no record
}

// Claim is what a spoke brought along with its token.
type Claim struct {
	SPIFFEID   string    `json:"spiffeID"`
	ClusterUID string    `json:"clusterUID"` // of the namespace kube-system
	PublicKey  []byte    `json:"publicKey"`  // PKIX, DER: of the first SVID
	ReceiptKey []byte    `json:"receiptKey"` // PKIX, DER: Ed25519
	Capability uint32    `json:"capability"`
	Release    string    `json:"release"`
	At         time.Time `json:"at"`
}

// Live reports whether the cluster has enrolled and was not forgotten since.
func (c Cluster) Live() bool { return c.Claim != nil && c.EnrolledAt != nil }

const (
	clusterPrefix = "cluster/"
	uidPrefix     = "cluster-uid/" // which cluster a UID belongs to
)

func clusterKey(name string) string { return clusterPrefix + name }
func uidKey(uid string) string      { return uidPrefix + uid }

// Get returns the record of a cluster; ok is false where it is not live.
func (s *Service) Get(ctx context.Context, name string) (c Cluster, ok bool, err error) {
	c, err = s.load(ctx, name)
	return c, c.Live(), err
}

// load reads a record; one that does not exist, or cannot, is the zero record of that name.
func (s *Service) load(ctx context.Context, name string) (Cluster, error) {
	if _, err := identity.Cluster(s.TrustDomain, name); err != nil {
		return Cluster{Name: name}, nil //nolint:nilerr // a name that no cluster can have has no record
	}
	item, err := s.Store.Get(ctx, clusterKey(name))
	if errors.Is(err, store.ErrNotFound) {
		return Cluster{Name: name}, nil
	}
	if err != nil {
		return Cluster{}, fmt.Errorf("read cluster %s: %w", name, err)
	}
	var c Cluster
	if err := json.Unmarshal(item.Value, &c); err != nil {
		return Cluster{}, fmt.Errorf("record of cluster %s: %w", name, err)
	}
	c.version = item.Version
	return c, nil
}

// change reads a record, lets decide say what it becomes, and commits it with the operations that decide returns, all or
// nothing, trying again where somebody else was quicker. A nil record from decide changes nothing.
func (s *Service) change(ctx context.Context, name string, decide func(Cluster) (*Cluster, []store.Op, error)) (Cluster, error) {
	for range attempts {
		old, err := s.load(ctx, name)
		if err != nil {
			return Cluster{}, err
		}
		next, ops, err := decide(old)
		if err != nil || next == nil {
			return old, err
		}
		raw, err := json.Marshal(next)
		if err != nil {
			return Cluster{}, fmt.Errorf("record of cluster %s: %w", name, err)
		}
		ops = append(ops, store.Check(clusterKey(name), old.version), store.Put(clusterKey(name), raw))
		err = s.Store.Commit(ctx, ops...)
		if err == nil {
			return *next, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return Cluster{}, fmt.Errorf("write cluster %s: %w", name, err)
		}
	}
	return Cluster{}, fmt.Errorf("write cluster %s: others were quicker %d times: %w", name, attempts, store.ErrConflict)
}
