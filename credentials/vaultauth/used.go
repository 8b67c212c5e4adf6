package vaultauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/errgroup"
)

const (
	usedPrefix = "used/"
	// afterwards is how long a record is kept beyond the time that it matters.
	afterwards = time.Hour
)

// record says that a bundle and its order are used up, and what was made for them.
type record struct {
	Cluster string    `json:"cluster"`
	Bundle  string    `json:"bundle"`
	Order   string    `json:"order"`
	Mount   string    `json:"mount"`
	Role    string    `json:"role"`
	Policy  string    `json:"policy"`
	At      time.Time `json:"at"`
	End     time.Time `json:"end"`  // of the token
	Keep    time.Time `json:"keep"` // until then neither bundle nor order could be used again
	// Open is for a bundle that was not used after all: no token was given.
	Open bool `json:"open,omitempty"`
	// Cleared is where role and policy are gone again, and with them what was issued.
	Cleared bool `json:"cleared,omitempty"`
}

// stands is where something of the grant may be left. A spoke that is not to be believed may have given it back in the very moment in
// which a credential of it was being issued: until the token's time is over there can be one.
func (r record) stands(now time.Time) bool { return !r.Open && (!r.Cleared || now.Before(r.End)) }

// record keeps what is used until no judge would take it any more: and somewhat longer, should Vault's clock be set back.
func (g grant) record(now time.Time) record {
	b, o := g.verified.Decoded().Bundle, g.verified.Order()
	keep := b.Expires
	if o.ValidUntil.After(keep) {
		keep = o.ValidUntil
	}
	return record{Cluster: g.cluster, Bundle: b.ID, Order: o.ID, Mount: g.mount, Role: g.role, Policy: g.policy,
		At: now, End: now.Add(g.life), Keep: keep.Add(afterwards)}
}

// keys are where a record is kept: under its bundle, and under its order.
func (r record) keys() [2]string {
	return [2]string{usedKey(r.Cluster, "bundle", r.Bundle), usedKey(r.Cluster, "order", r.Order)}
}

// usedKey is of fixed length, whatever an ID holds.
func usedKey(cluster, what, id string) string {
	sum := sha256.Sum256([]byte(id))
	return usedPrefix + cluster + "/" + what + "-" + hex.EncodeToString(sum[:])
}

var errUsed = errors.New("used")

// reserve says errUsed where a bundle or its order is used, or another login is at it. Only the active node of Vault may write, and
// there this is the one process: the lock and the storage together let one of many through.
func (b *backend) reserve(ctx context.Context, s logical.Storage, r record) error {
	b.reserving.Lock()
	defer b.reserving.Unlock()
	before, err := readBoth(ctx, s, r.keys())
	if err != nil {
		return err
	}
	for i, key := range r.keys() {
		what := [...]string{"it", "its order"}[i]
		if b.reserved[key] {
			return fmt.Errorf("%w: %s is being used at this moment", errUsed, what)
		}
		if before := before[i]; before != nil && !before.Open {
			return fmt.Errorf("%w: %s was used at %s, by bundle %s", errUsed, what, before.At.Format(time.RFC3339), before.Bundle)
		}
	}
	for _, key := range r.keys() {
		b.reserved[key] = true
	}
	return nil
}

// readBoth reads the records under two keys, side by side; nil where there is none.
func readBoth(ctx context.Context, s logical.Storage, keys [2]string) (records [2]*record, err error) {
	var both errgroup.Group
	for i, key := range keys {
		both.Go(func() error {
			var r record
			found, err := get(ctx, s, key, &r)
			if found {
				records[i] = &r
			}
			return err
		})
	}
	err = both.Wait()
	return records, err
}

func (b *backend) unreserve(r record) {
	b.reserving.Lock()
	defer b.reserving.Unlock()
	for _, key := range r.keys() {
		delete(b.reserved, key)
	}
}

// isReserved is whether a login is at it at this moment.
func (b *backend) isReserved(key string) bool {
	b.reserving.Lock()
	defer b.reserving.Unlock()
	return b.reserved[key]
}

// write writes a record down, under both its keys.
func (r record) write(ctx context.Context, s logical.Storage) error {
	var both errgroup.Group
	for _, key := range r.keys() {
		both.Go(func() error { return put(ctx, s, key, r) })
	}
	return both.Wait()
}

// remember has what was made for a grant swept away once it is over.
func (b *backend) remember(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grants = append(b.grants, r)
}
