package trust

import (
	"context"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// AuthenticRehearsal is a rehearsal that the gateway signed for this cluster. It is not yet judged. Only AuthenticateRehearsal
// makes one. A rehearsal moves no sequence: one that comes twice is tried out twice, to the same end.
type AuthenticRehearsal struct {
	rehearsal bundle.Rehearsal
	digest    string
	root      *Root
	by        signed
}

// Rehearsal is what was signed.
func (a AuthenticRehearsal) Rehearsal() bundle.Rehearsal { return a.rehearsal }

// Digest is of the envelope.
func (a AuthenticRehearsal) Digest() string { return a.digest }

// AuthenticateRehearsal checks who signed a rehearsal, and whom it is for.
func AuthenticateRehearsal(ctx context.Context, raw []byte, root *Root, audience bundle.Audience) (AuthenticRehearsal, *refusal.Refusal) {
	envelope, r, no := bundle.OpenRehearsal(raw)
	if no != nil {
		return AuthenticRehearsal{}, no
	}
	by, err := root.whoSigned(ctx, envelope, RoleGateway)
	switch {
	case err != nil:
		return AuthenticRehearsal{}, refusal.New(stepVerify, refusal.SignatureInvalid, "gateway: %v", err)
	case r.Audience != audience:
		return AuthenticRehearsal{}, refusal.New(stepVerify, refusal.AudienceMismatch, "the rehearsal is for %s/%s (%s), this is %s/%s (%s)",
			r.Audience.TrustDomain, r.Audience.Cluster, r.Audience.ClusterUID, audience.TrustDomain, audience.Cluster, audience.ClusterUID)
	}
	return AuthenticRehearsal{rehearsal: r, digest: bundle.Digest(raw), root: root, by: by}, nil
}

// Rehearsable is a rehearsal that may be tried out now. Only JudgeRehearsal makes one. It is no Verified and leads to none:
// whatever executes does not take it.
type Rehearsable struct {
	AuthenticRehearsal
	action *catalogue.Action
	c      catalogue.Case
	floor  catalogue.Tier
}

// Action is the catalogue's entry, and the case it is judged on.
func (r Rehearsable) Action() (*catalogue.Action, catalogue.Case) { return r.action, r.c }

// Floor is the tier that the order to come is held to.
func (r Rehearsable) Floor() catalogue.Tier { return r.floor }

// JudgeRehearsal decides about a rehearsal as Judge would about the order that is to follow, but for approvals, of which it has
// none: everything is computed anew from its content.
func JudgeRehearsal(a AuthenticRehearsal, now time.Time, options ...Option) (Rehearsable, *refusal.Refusal) {
	if no := a.by.judge(a.root, a.rehearsal.NotBefore, now); no != nil {
		return Rehearsable{}, no
	}
	switch r := a.rehearsal; {
	case r.Format != bundle.Format:
		return Rehearsable{}, refusal.New(stepJudge, refusal.FormatTooOld, "format %d, wanted %d: upgrade the hub or the spoke", r.Format, bundle.Format)
	case r.Expires.Sub(r.NotBefore) > bundle.MaxRehearsalLife:
		return Rehearsable{}, refusal.New(stepJudge, refusal.BundleLivesTooLong, "it lives %s, at most %s is allowed",
			r.Expires.Sub(r.NotBefore), bundle.MaxRehearsalLife)
	case now.Add(bundle.Skew).Before(r.NotBefore):
		return Rehearsable{}, refusal.New(stepJudge, refusal.BundleNotYetValid, "it begins at %s, it is %s: compare the clocks of hub and spoke",
			stamp(r.NotBefore), stamp(now))
	case now.After(r.Expires):
		return Rehearsable{}, refusal.New(stepJudge, refusal.BundleExpired, "it was to begin before %s, it is %s", stamp(r.Expires), stamp(now))
	}
	action, c, floor, no := judgeContent(a.rehearsal.Draft(), heldTo(options))
	if no != nil {
		return Rehearsable{}, no
	}
	return Rehearsable{a, action, c, floor}, nil
}
