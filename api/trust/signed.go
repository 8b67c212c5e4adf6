package trust

import (
	"context"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
)

// signed is who signed an envelope: keys of one trust root, the present one or a former one.
type signed struct {
	keys  []string
	under *former // nil for the present one
}

// whoSigned verifies an envelope against a role of the present trust root, or else of the former ones, the last first. Keys of
// different trust roots do not pool. The error is what the present one says.
func (r *Root) whoSigned(ctx context.Context, e *dsse.Envelope, role Role) (signed, error) {
	ids, err := r.verify(ctx, e, role)
	if err == nil {
		return signed{keys: ids}, nil
	}
	for i := range r.former {
		if ids, not := r.former[i].root.verify(ctx, e, role); not == nil {
			return signed{keys: ids, under: &r.former[i]}, nil
		}
	}
	return signed{}, err
}

func (r *Root) verify(ctx context.Context, e *dsse.Envelope, role Role) ([]string, error) {
	keys, err := r.Verifiers(role)
	if err != nil {
		return nil, err
	}
	return bundle.VerifyAll(ctx, e, r.Threshold(role), keys)
}

// judge refuses what was signed when its key counted no more, and everything under a trust root that has expired.
func (s signed) judge(root *Root, at, now time.Time) *refusal.Refusal {
	if root.meta.Signed.IsExpired(now) {
		return refusal.New(stepJudge, refusal.TrustRootExpired, "version %d of the trust root expired at %s: publish the next one (writ trust)",
			root.Version(), stamp(root.Expires()))
	}
	return s.inTime(root, at)
}

// inTime is the one rule about keys that a newer trust root left out: they count for what was begun before it was taken. When
// that was is the signer's word; so whatever it is used on has an end of its own, at most bundle.MaxBundleLife or, for an order,
// bundle.MaxOrderLife after its beginning, and that long a key outlives its removal. A revoked one does not.
func (s signed) inTime(root *Root, at time.Time) *refusal.Refusal {
	if s.under == nil {
		return nil
	}
	revoked := root.revoked()
	for _, id := range s.keys {
		if revoked[id] {
			return refusal.New(stepJudge, refusal.KeyRetired, "version %d of the trust root has revoked the key %s", root.Version(), id)
		}
	}
	if at.After(s.under.ended.Add(bundle.Skew)) {
		return refusal.New(stepJudge, refusal.KeyRetired, "signed for %s by keys of version %d of the trust root, which version %d has followed at %s",
			stamp(at), s.under.root.Version(), s.under.root.Version()+1, stamp(s.under.ended))
	}
	return nil
}

// headLife is how long after a change of the trust root a head may still be by a former key: they come with every heartbeat.
const headLife = bundle.MaxBundleLife

// VerifyHead reads a signed head. A key of a former trust root counts for a head only while bundles of it may be under way.
func VerifyHead(ctx context.Context, raw []byte, root *Root, now time.Time) (bundle.Head, *refusal.Refusal) {
	envelope, head, no := bundle.OpenHead(raw)
	if no != nil {
		return head, no
	}
	by, err := root.whoSigned(ctx, envelope, RoleGateway)
	if err != nil {
		return bundle.Head{}, refusal.New(stepVerify, refusal.SignatureInvalid, "gateway: %v", err)
	}
	if no := by.inTime(root, head.At); no != nil {
		return bundle.Head{}, no
	}
	if by.under != nil && now.After(by.under.ended.Add(headLife)) {
		return bundle.Head{}, refusal.New(stepVerify, refusal.KeyRetired, "a head by a key of version %d of the trust root", by.under.root.Version())
	}
	return head, nil
}
