package trust

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Draft is the trust root as the draft of one that says the same; it is the caller's to change, and to give a version.
func (r *Root) Draft() (Draft, error) {
	d := Draft{Version: r.Version(), Expires: r.Expires(), Keys: map[Role][]ed25519.PublicKey{}, Threshold: map[Role]int{}, Revoked: r.Revoked()}
	for _, role := range Roles() {
		d.Threshold[role] = r.Threshold(role)
		keys, err := r.Keys(role)
		if err != nil {
			return d, err
		}
		for _, key := range keys {
			id, _ := key.KeyID()
			public, plain := key.Public().(ed25519.PublicKey)
			switch owner := r.Owner(id); {
			case owner != "" && role == RoleApprovers:
				d.Approvers = append(d.Approvers, Approver{Name: owner, Key: key.Public()})
			case plain:
				d.Keys[role] = append(d.Keys[role], public)
			default:
				return d, fmt.Errorf("%w: the hardware key %s of %s belongs to nobody", ErrRoot, id, role)
			}
		}
	}
	return d, nil
}

// ReadDraft reads a trust root that may lack signatures. It counts for nothing: it is for those who are to sign it.
func ReadDraft(raw []byte) (*Root, error) { return read(raw) }

// Cosign adds the signature of a root key to a trust root; one of the same key is replaced.
func Cosign(raw []byte, rootKey ed25519.PrivateKey) ([]byte, error) {
	draft, err := read(raw)
	if err != nil {
		return nil, err
	}
	id, err := KeyID(rootKey.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	draft.meta.Signatures = slices.DeleteFunc(draft.meta.Signatures, func(s metadata.Signature) bool { return s.KeyID == id })
	signer, err := signature.LoadSigner(rootKey, crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if _, err := draft.meta.Sign(signer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return draft.meta.ToBytes(false)
}

// Missing is how many signatures of root keys a successor of this trust root lacks still: of this one's keys, and of its own. An error
// says why it can be none.
func (r *Root) Missing(next *Root) (old, own int, err error) {
	if next.Version() != r.Version()+1 {
		return 0, 0, fmt.Errorf("%w: version %d does not follow version %d", ErrRoot, next.Version(), r.Version())
	}
	if old, err = r.lacks(next); err != nil {
		return 0, 0, err
	}
	own, err = next.lacks(next)
	return old, own, err
}

// lacks counts what is missing of this trust root's threshold on another one, which every signature by its keys must fit.
func (r *Root) lacks(next *Root) (int, error) {
	have := 0
	for _, id := range r.meta.Signed.Roles[string(RoleRoot)].KeyIDs {
		if !slices.ContainsFunc(next.meta.Signatures, func(s metadata.Signature) bool { return s.KeyID == id }) {
			continue
		}
		one := *r.meta
		one.Signed.Roles = map[string]*metadata.Role{string(RoleRoot): {KeyIDs: []string{id}, Threshold: 1}}
		if err := one.VerifyDelegate(metadata.ROOT, next.meta); err != nil {
			return 0, fmt.Errorf("%w: the signature of %s does not fit: %w", ErrRoot, id, err)
		}
		have++
	}
	return max(0, r.Threshold(RoleRoot)-have), nil
}
