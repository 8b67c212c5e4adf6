package trust

import (
	"context"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
)

// The steps under which this package refuses.
const (
	stepVerify = "verify"
	stepJudge  = "judge"
)

// Expect is what the next bundle of a cluster must be: for this cluster, in this epoch, after this one.
type Expect struct {
	Audience bundle.Audience
	Epoch    uint64
	Sequence uint64 // of the last bundle taken; the next must be one more
	Previous string // digest of the last bundle taken; empty before the first
}

// Authentic is a bundle that the gateway signed for this cluster, next in sequence. It is not yet judged: a cluster takes
// it into its journal, and moves on, whatever the judgement says. Only Authenticate makes one.
type Authentic struct {
	d    *bundle.Decoded
	root *Root
	by   signed
}

// Decoded is what was authenticated.
func (a Authentic) Decoded() *bundle.Decoded { return a.d }

// Authenticate checks who signed a bundle, whom it is for, and that it is the next one. A refusal leaves the sequence as
// it is: nobody who cannot sign can make a cluster move on. A key of a former trust root can: what it signed in its time may
// have been under way for long, and Judge decides whether that is so.
func Authenticate(ctx context.Context, d *bundle.Decoded, root *Root, want Expect) (Authentic, *refusal.Refusal) {
	by, err := root.whoSigned(ctx, d.Envelope, RoleGateway)
	if err != nil {
		return Authentic{}, refusal.New(stepVerify, refusal.SignatureInvalid, "gateway: %v", err)
	}
	b, o := d.Bundle, d.Order
	switch {
	case o.Audience != want.Audience:
		return Authentic{}, refusal.New(stepVerify, refusal.AudienceMismatch, "the order is for %s/%s (%s), this is %s/%s (%s)",
			o.Audience.TrustDomain, o.Audience.Cluster, o.Audience.ClusterUID,
			want.Audience.TrustDomain, want.Audience.Cluster, want.Audience.ClusterUID)
	case b.Epoch != want.Epoch:
		return Authentic{}, refusal.New(stepVerify, refusal.EpochMismatch, "epoch %d, this cluster is in %d", b.Epoch, want.Epoch)
	case b.Sequence <= want.Sequence:
		return Authentic{}, refusal.New(stepVerify, refusal.SequenceReplayed, "sequence %d has been taken; the last was %d",
			b.Sequence, want.Sequence)
	case b.Sequence != want.Sequence+1:
		return Authentic{}, refusal.New(stepVerify, refusal.SequenceOutOfOrder, "sequence %d, the next is %d",
			b.Sequence, want.Sequence+1)
	case b.Previous != want.Previous:
		return Authentic{}, refusal.New(stepVerify, refusal.PreviousDigestWrong,
			"sequence %d follows a bundle that this cluster has not seen", b.Sequence)
	}
	return Authentic{d: d, root: root, by: by}, nil
}
