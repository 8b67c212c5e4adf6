package trust

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Draft is what a new trust root is made from.
type Draft struct {
	Version   int64
	Expires   time.Time
	Keys      map[Role][]ed25519.PublicKey
	Approvers []Approver   // beside those in Keys, which name nobody
	Threshold map[Role]int // 1 where it is not named
	Revoked   []string     // IDs of keys that count no more, not even for what they signed under a former trust root
}

// Approver is a person who may sign orders, under the user name by which the hub's API server knows them.
type Approver struct {
	Name string
	Key  crypto.PublicKey // an ed25519.PublicKey, or the ssh.PublicKey of a hardware key
}

// listed is the key as a trust root lists it.
func (a Approver) listed() (*metadata.Key, error) {
	key, err := keyOf(a.Key)
	if err != nil {
		return nil, err
	}
	key.UnrecognizedFields = map[string]any{ownerField: a.Name}
	return key, nil
}

// KeyID is the ID that the approver's key has in a trust root: it depends on the name, too.
func (a Approver) KeyID() (string, error) {
	key, err := a.listed()
	if err != nil {
		return "", err
	}
	return key.ID()
}

// Sign makes a trust root of a draft, signed by root keys that are used here and kept elsewhere.
func Sign(draft Draft, rootKeys ...ed25519.PrivateKey) ([]byte, error) {
	meta := metadata.Root(draft.Expires.UTC().Truncate(time.Second))
	meta.Signed.Version = draft.Version
	meta.Signed.ConsistentSnapshot = false
	if len(draft.Revoked) > 0 {
		meta.Signed.UnrecognizedFields = map[string]any{revokedField: draft.Revoked}
	}
	meta.Signed.Roles = map[string]*metadata.Role{}
	for _, role := range Roles() {
		meta.Signed.Roles[string(role)] = &metadata.Role{KeyIDs: []string{}, Threshold: max(1, draft.Threshold[role])}
		for _, public := range draft.Keys[role] {
			key, err := metadata.KeyFromPublicKey(public)
			if err != nil {
				return nil, fmt.Errorf("%w: a key of %s: %w", ErrRoot, role, err)
			}
			if err := meta.Signed.AddKey(key, string(role)); err != nil {
				return nil, fmt.Errorf("%w: a key of %s: %w", ErrRoot, role, err)
			}
		}
	}
	for _, approver := range draft.Approvers {
		key, err := approver.listed()
		if err != nil {
			return nil, fmt.Errorf("%w: the key of %s: %w", ErrRoot, approver.Name, err)
		}
		if err := meta.Signed.AddKey(key, string(RoleApprovers)); err != nil {
			return nil, fmt.Errorf("%w: the key of %s: %w", ErrRoot, approver.Name, err)
		}
	}
	for _, private := range rootKeys {
		signer, err := signature.LoadSigner(private, crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRoot, err)
		}
		if _, err := meta.Sign(signer); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRoot, err)
		}
	}
	return meta.ToBytes(false)
}
