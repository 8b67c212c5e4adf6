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
	Threshold map[Role]int // 1 where it is not named
}

// Sign makes a trust root of a draft, signed by root keys that are used here and kept elsewhere.
func Sign(draft Draft, rootKeys ...ed25519.PrivateKey) ([]byte, error) {
	meta := metadata.Root(draft.Expires.UTC().Truncate(time.Second))
	meta.Signed.Version = draft.Version
	meta.Signed.ConsistentSnapshot = false
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
