// Package trust names the keys that count and verifies with them: the trust root (TUF root metadata, specification 1.0.31,
// §5.3), what a gateway signed, and what approvers signed.
//
// It has no I/O and no clock. Only Authenticate makes an Authentic and only Judge a Verified; whatever acts takes one of
// those, so that a forgotten check does not compile.
package trust

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/crypto/ssh"

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

// Root is a trust root whose own signatures have been checked, and the former ones that it was reached from: what was signed
// under those before is still to be told from what nobody signed. It is immutable; Walk makes another.
type Root struct {
	raw    []byte
	meta   *metadata.Metadata[metadata.RootType]
	former []former // the last one first
}

// ParseRoot reads a pinned trust root: it must meet its own root threshold and not be expired.
func ParseRoot(raw []byte, now time.Time) (*Root, error) {
	root, err := parse(raw)
	if err == nil {
		err = root.Valid(now)
	}
	if err != nil {
		return nil, err
	}
	return root, nil
}

// Pinned reads a pinned trust root without a look at the clock. One that has expired lets nothing pass Judge; it can be walked
// on from.
func Pinned(raw []byte) (*Root, error) { return parse(raw) }

// parse checks everything about a trust root but the time.
func parse(raw []byte) (*Root, error) {
	root, err := read(raw)
	if err != nil {
		return nil, err
	}
	if err := root.meta.VerifyDelegate(metadata.ROOT, root.meta); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return root, nil
}

// read checks everything about a trust root but its signatures and the time.
func read(raw []byte) (*Root, error) {
	if len(raw) > maxRootSize {
		return nil, fmt.Errorf("%w: %d bytes are more than the %d allowed", ErrRoot, len(raw), maxRootSize)
	}
	meta, err := (&metadata.Metadata[metadata.RootType]{}).FromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if meta.Signed.Version < 1 {
		return nil, fmt.Errorf("%w: version %d, the first is 1", ErrRoot, meta.Signed.Version)
	}
	root := &Root{raw: raw, meta: meta}
	holders := map[string]Role{}
	for _, role := range Roles() {
		if r := meta.Signed.Roles[string(role)]; r == nil || r.Threshold < 1 {
			return nil, fmt.Errorf("%w: the role %s is missing or has a threshold below 1", ErrRoot, role)
		}
		if err := root.hold(holders, role); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// hold notes whose the keys of a role are. A key counts once, in one role: under two IDs one person would be two.
func (r *Root) hold(holders map[string]Role, role Role) error {
	keys, err := r.Keys(role)
	if err != nil {
		return err
	}
	revoked := r.revoked()
	for _, key := range keys {
		id, _ := key.KeyID()
		public := wireOf(key.Public())
		if other, ok := holders[public]; ok {
			return fmt.Errorf("%w: version %d lists one key in %s and again in %s: each person, each role and each machine needs a key of its own",
				ErrRoot, r.Version(), other, role)
		}
		if revoked[id] {
			return fmt.Errorf("%w: version %d lists the key %s in %s, and revokes it", ErrRoot, r.Version(), id, role)
		}
		holders[public] = role
	}
	return nil
}

// wireOf is a public key as bytes that are the same for the same key.
func wireOf(public crypto.PublicKey) string {
	switch public := public.(type) {
	case ed25519.PublicKey:
		return string(public)
	case ssh.PublicKey:
		return string(public.Marshal())
	}
	return ""
}

// Valid refuses a trust root that has expired.
func (r *Root) Valid(now time.Time) error {
	if r.meta.Signed.IsExpired(now) {
		return fmt.Errorf("%w: version %d expired at %s: publish the next one (writ trust)", ErrRoot, r.Version(), stamp(r.Expires()))
	}
	return nil
}

// Bytes is the trust root as it was read.
func (r *Root) Bytes() []byte { return r.raw }

// Version counts up by one with each change.
func (r *Root) Version() int64 { return r.meta.Signed.Version }

// Expires is when it counts no more.
func (r *Root) Expires() time.Time { return r.meta.Signed.Expires }

// Threshold is how many keys of a role must sign.
func (r *Root) Threshold(role Role) int { return r.meta.Signed.Roles[string(role)].Threshold }

// Keys returns the keys of a role, under their TUF key IDs. A key that is no Ed25519 key, nor an approver's hardware key, is an error,
// never passed over.
func (r *Root) Keys(role Role) ([]*bundle.Key, error) {
	ids := r.meta.Signed.Roles[string(role)].KeyIDs
	keys := make([]*bundle.Key, 0, len(ids))
	for _, id := range ids {
		listed := r.meta.Signed.Keys[id]
		if listed == nil {
			return nil, fmt.Errorf("%w: role %s names the unknown key %s", ErrRoot, role, id)
		}
		key, err := verifier(id, listed, role)
		if err != nil {
			return nil, fmt.Errorf("%w: key %s: %w", ErrRoot, id, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func verifier(id string, listed *metadata.Key, role Role) (*bundle.Key, error) {
	if isHardware(listed) {
		return hardware(id, listed, role)
	}
	public, err := listed.ToPublicKey()
	if err != nil {
		return nil, err
	}
	return bundle.NewVerifier(id, public)
}

// ownerField is the member of a key (TUF allows further ones) that says whose it is.
const ownerField = "x-writ-owner"

// Owner is whose key it is: a user name, as the hub's API server knows it; empty for a key that names nobody, and for one that is
// not there.
func (r *Root) Owner(keyID string) string {
	key := r.meta.Signed.Keys[keyID]
	if key == nil {
		return ""
	}
	name, _ := key.UnrecognizedFields[ownerField].(string)
	return name
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
