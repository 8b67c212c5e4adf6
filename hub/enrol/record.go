package enrol

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// Pin is what the second factor is judged by; nil where nothing was pinned, and then nobody is let in.
	Pin *Pin `json:"pin,omitempty"`
	// Manual has a spoke that proved both factors wait until Accepted is the digest of its receipt key.
	Manual   bool   `json:"manual,omitempty"`
	Accepted string `json:"accepted,omitempty"`
	// Epoch counts who has used a token of this name, and never goes back, so that no sequence is ever used twice.
	Epoch uint64 `json:"epoch"`
	// Reset is the statement of the root keys by which the epoch was last raised, if it was.
	Reset json.RawMessage `json:"reset,omitempty"`
	// Claim is what came with the one use of a token, this one or, while a cluster may rejoin, the one before; nil before any.
	Claim *Claim `json:"claim,omitempty"`
	// Revoked is set once the identity counts for nothing any more.
	Revoked *Revocation `json:"revoked,omitempty"`
	// EnrolledAt is set once the enrolment is in the audit log. Only then is the cluster live.
	EnrolledAt *time.Time `json:"enrolledAt,omitempty"`

	version uint64 // in the store; 0 where there is no record
}

// Claim is what a spoke brought along with its token.
type Claim struct {
	// TokenHash is of the token that it came with; empty is the record's, in records of releases that did not write it.
	TokenHash string `json:"tokenHash,omitempty"`
	// Enrolment is the epoch that the claim began, which no other claim of the name does: its SVIDs carry it. Empty in records of
	// releases that did not write it, as in the SVIDs that go with them.
	Enrolment  string    `json:"enrolment,omitempty"`
	SPIFFEID   string    `json:"spiffeID"`
	ClusterUID string    `json:"clusterUID"` // of the namespace kube-system
	PublicKey  []byte    `json:"publicKey"`  // PKIX, DER: of the first SVID
	ReceiptKey []byte    `json:"receiptKey"` // PKIX, DER: Ed25519
	Capability uint32    `json:"capability"`
	Release    string    `json:"release"`
	At         time.Time `json:"at"`
}

// Used reports whether the record's token has let in a spoke, or has one wait.
func (c Cluster) Used() bool {
	return c.Claim != nil && (c.Claim.TokenHash == "" || c.Claim.TokenHash == c.TokenHash)
}

// Waits reports whether a spoke that has proved itself waits for somebody to accept it.
func (c Cluster) Waits() bool {
	return c.Used() && c.EnrolledAt == nil && c.Revoked == nil && c.Manual && c.Accepted != c.Claim.Key()
}

// Key is the digest of the receipt key (SHA-256 of its PKIX form, hex): what people tell a spoke by.
func (c *Claim) Key() string {
	sum := sha256.Sum256(c.ReceiptKey)
	return hex.EncodeToString(sum[:])
}

// Live reports whether the cluster has enrolled, and was neither revoked nor forgotten since.
func (c Cluster) Live() bool { return c.Claim != nil && c.EnrolledAt != nil && c.Revoked == nil }

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

// Look returns the record of a cluster, live or not; known is false where it was never registered, or forgotten.
func (s *Service) Look(ctx context.Context, name string) (c Cluster, known bool, err error) {
	c, err = s.load(ctx, name)
	return c, c.known(), err
}

// List returns the records of all live clusters, by name.
func (s *Service) List(ctx context.Context) (live []Cluster, err error) {
	err = s.each(ctx, func(c Cluster) {
		if c.Live() {
			live = append(live, c)
		}
	})
	return live, err
}

// each visits all records, by name.
func (s *Service) each(ctx context.Context, visit func(Cluster)) error {
	for after := ""; ; {
		items, err := s.Store.Scan(ctx, clusterPrefix, after, 500)
		if err != nil || len(items) == 0 {
			return err
		}
		for _, item := range items {
			var c Cluster
			if err := json.Unmarshal(item.Value, &c); err != nil {
				return fmt.Errorf("record %s: %w", item.Key, err)
			}
			visit(c)
			after = item.Key
		}
	}
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
