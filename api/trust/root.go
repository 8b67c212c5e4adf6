// Package trust names the keys that count and verifies with them: the trust root (TUF root metadata, specification 1.0.31,
// §5.3), what a gateway signed, and what approvers signed.
//
// It has no I/O and no clock. Only Authenticate makes an Authentic and only Judge a Verified; whatever acts takes one of
// those, so that a forgotten check does not compile.
package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/writ-dev/writ/api/bundle"
)

// Role is what a key in the trust root may do.
type Role string

// The roles.
const (
	RoleRoot      Role = "root"
	RoleGateway   Role = "gateway"
	RoleApprovers Role = "approvers"
	RoleReceipts  Role = "receipts"
)

// Roles lists all roles.
func Roles() []Role { return []Role{RoleRoot, RoleGateway, RoleApprovers, RoleReceipts} }

// maxRootSize bounds a trust root in bytes, before it is parsed.
const maxRootSize = 64 << 10

// ErrRoot is wrapped by every error about a trust root that cannot be used.
var ErrRoot = errors.New("trust root")

// Root is a trust root whose own signatures have been checked.
type Root struct {
	raw  []byte
	meta *metadata.Metadata[metadata.RootType]
}

// ParseRoot reads a pinned trust root: it must meet its own root threshold and not be expired.
func ParseRoot(raw []byte, now time.Time) (*Root, error) {
	if len(raw) > maxRootSize {
		return nil, fmt.Errorf("%w: %d bytes are more than the %d allowed", ErrRoot, len(raw), maxRootSize)
	}
	meta, err := (&metadata.Metadata[metadata.RootType]{}).FromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	for _, role := range Roles() {
		if r := meta.Signed.Roles[string(role)]; r == nil || r.Threshold < 1 {
			return nil, fmt.Errorf("%w: the role %s is missing or has a threshold below 1", ErrRoot, role)
		}
	}
	if err := meta.VerifyDelegate(metadata.ROOT, meta); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if meta.Signed.IsExpired(now) {
		return nil, fmt.Errorf("%w: version %d expired at %s", ErrRoot, meta.Signed.Version, meta.Signed.Expires)
	}
	return &Root{raw: raw, meta: meta}, nil
}

// Bytes is the trust root as it was read.
func (r *Root) Bytes() []byte { return r.raw }

// Version counts up by one with each change.
func (r *Root) Version() int64 { return r.meta.Signed.Version }

// Threshold is how many keys of a role must sign.
func (r *Root) Threshold(role Role) int { return r.meta.Signed.Roles[string(role)].Threshold }

// Keys returns the keys of a role, under their TUF key IDs. A key that is no Ed25519 key is an error, never passed over.
func (r *Root) Keys(role Role) ([]*bundle.Key, error) {
	ids := r.meta.Signed.Roles[string(role)].KeyIDs
	keys := make([]*bundle.Key, 0, len(ids))
	for _, id := range ids {
		listed := r.meta.Signed.Keys[id]
		if listed == nil {
			return nil, fmt.Errorf("%w: role %s names the unknown key %s", ErrRoot, role, id)
		}
		public, err := listed.ToPublicKey()
		if err != nil {
			return nil, fmt.Errorf("%w: key %s: %w", ErrRoot, id, err)
		}
		key, err := bundle.NewVerifier(id, public)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRoot, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Verifiers is Keys as the envelope verifier takes them.
func (r *Root) Verifiers(role Role) ([]dsse.Verifier, error) {
	keys, err := r.Keys(role)
	if err != nil {
		return nil, err
	}
	verifiers := make([]dsse.Verifier, len(keys))
	for i, key := range keys {
		verifiers[i] = key
	}
	return verifiers, nil
}

// KeyID is the ID that a public key has in a trust root.
func KeyID(public ed25519.PublicKey) (string, error) {
	key, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return "", err
	}
	return key.ID()
}
