package trust

import (
	"context"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// Verified is a bundle that may be executed as far as its content, time and signatures go. Only Judge makes one.
type Verified struct {
	d         *bundle.Decoded
	action    *catalogue.Action
	c         catalogue.Case
	floor     catalogue.Tier
	approvers []string
}

// Decoded is what was verified.
func (v Verified) Decoded() *bundle.Decoded { return v.d }

// Order is the order that was verified.
func (v Verified) Order() bundle.Order { return v.d.Order }

// Action is the catalogue's entry, and the case it is judged on.
func (v Verified) Action() (*catalogue.Action, catalogue.Case) { return v.action, v.c }

// Floor is the tier that the order is held to: what its content demands, or what was agreed to instead.
func (v Verified) Floor() catalogue.Tier { return v.floor }

// Approvers are the key IDs that signed the order; empty below the high tier.
func (v Verified) Approvers() []string { return v.approvers }

// Option changes what a bundle is held to.
type Option func(*held)

type held struct{ lowered catalogue.Tier }

// LoweredTo accepts an order below the tier that its content demands, down to the one given, but for a protected target: who runs
// the cluster has agreed to that. An empty one changes nothing.
func LoweredTo(tier catalogue.Tier) Option { return func(h *held) { h.lowered = tier } }

func heldTo(options []Option) (to held) {
	for _, option := range options {
		option(&to)
	}
	return to
}

// Judge decides about an authentic bundle: time, that the order is what the catalogue makes of its content, and the
// approvers' signatures where the content demands them.
func Judge(ctx context.Context, a Authentic, now time.Time, options ...Option) (Verified, *refusal.Refusal) {
	if no := a.by.judge(a.root, a.d.Bundle.NotBefore, now); no != nil {
		return Verified{}, no
	}
	if no := judgeTime(a.d.Bundle, a.d.Order, now); no != nil {
		return Verified{}, no
	}
	action, c, floor, no := judgeContent(a.d.Order, heldTo(options))
	if no != nil {
		return Verified{}, no
	}
	approvers, no := judgeApprovals(ctx, a)
	if no != nil {
		return Verified{}, no
	}
	return Verified{d: a.d, action: action, c: c, floor: floor, approvers: approvers}, nil
}

// judgeTime gives beginnings bundle.Skew of grace and ends none.
func judgeTime(b bundle.Bundle, o bundle.Order, now time.Time) *refusal.Refusal {
	switch {
	case b.Expires.Sub(b.NotBefore) > bundle.MaxBundleLife:
		return refusal.New(stepJudge, refusal.BundleLivesTooLong, "it lives %s, at most %s is allowed",
			b.Expires.Sub(b.NotBefore), bundle.MaxBundleLife)
	case now.Add(bundle.Skew).Before(b.NotBefore):
		return refusal.New(stepJudge, refusal.BundleNotYetValid, "it begins at %s, it is %s: compare the clocks of hub and spoke",
			stamp(b.NotBefore), stamp(now))
	case now.After(b.Expires):
		return refusal.New(stepJudge, refusal.BundleExpired, "it was to start before %s, it is %s: ask again",
			stamp(b.Expires), stamp(now))
	case o.ValidUntil.Sub(o.ValidFrom) > bundle.MaxOrderLife:
		return refusal.New(stepJudge, refusal.OrderLivesTooLong, "it lives %s, at most %s is allowed",
			o.ValidUntil.Sub(o.ValidFrom), bundle.MaxOrderLife)
	case now.Add(bundle.Skew).Before(o.ValidFrom):
		return refusal.New(stepJudge, refusal.OrderNotYetValid, "it begins at %s, it is %s", stamp(o.ValidFrom), stamp(now))
	case now.After(o.ValidUntil):
		return refusal.New(stepJudge, refusal.OrderExpired, "it ended at %s, it is %s: ask again", stamp(o.ValidUntil), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// judgeContent computes everything anew from the order's content and accepts only what agrees.
func judgeContent(o bundle.Order, to held) (*catalogue.Action, catalogue.Case, catalogue.Tier, *refusal.Refusal) {
	action, c, err := o.Resolve()
	if err != nil {
		return nil, c, "", refusal.New(stepJudge, refusal.ActionUnknown, "%v", err)
	}
	if action.OnHub {
		return nil, c, "", refusal.New(stepJudge, refusal.ActionUnknown, "%s is carried out by the hub, and in no cluster", o.Action)
	}
	if c.Kind == (catalogue.Kind{}) {
		return nil, c, "", refusal.New(stepJudge, refusal.TargetKindNotAllowed, "%s takes no %s", o.Action, o.Target.Kind)
	}
	if err := action.Validate(o.Parameters); err != nil {
		return nil, c, "", refusal.New(stepJudge, refusal.ParametersInvalid, "%s: %v", o.Action, err)
	}
	if o.Target.UID == "" || o.Target.UID != o.Observed.UID || (o.Target.Namespace == "") != c.Kind.ClusterScoped || o.Target.Name == "" {
		return nil, c, "", refusal.New(stepJudge, refusal.OrderInvalid, "the target is not named in full")
	}
	if o.DeadlineSeconds < 1 || o.DeadlineSeconds > int64(action.Deadline.Seconds()) {
		return nil, c, "", refusal.New(stepJudge, refusal.OrderInvalid, "a deadline of %d s is not within 1 to %d s",
			o.DeadlineSeconds, int64(action.Deadline.Seconds()))
	}
	if !catalogue.Equal(o.Rules, action.Rules(c)) {
		return nil, c, "", refusal.New(stepJudge, refusal.RulesMismatch, "the RBAC rules are not those of %s", o.Action)
	}
	if !catalogue.Equal(o.Prediction, action.Predict(c)) {
		return nil, c, "", refusal.New(stepJudge, refusal.OrderInvalid, "the prediction is not that of %s", o.Action)
	}
	floor, why := action.TierOf(c)
	if to.lowered != "" && floor.AtLeast(to.lowered) && !c.Facts.Protected {
		floor = to.lowered
	}
	if _, err := catalogue.ParseTier(string(o.Tier)); err != nil || !o.Tier.AtLeast(floor) {
		return nil, c, "", refusal.New(stepJudge, refusal.TierTooLow, "ordered as %q, but %s is %s: %s", o.Tier, o.Action, floor, why)
	}
	return action, c, floor, nil
}

// judgeApprovals demands the approvers' own threshold at the high tier. Roles do not pool: a gateway key counts for nothing
// here. Below the high tier an order carries no signature.
func judgeApprovals(ctx context.Context, a Authentic) ([]string, *refusal.Refusal) {
	if a.d.Order.Tier != catalogue.High {
		if len(a.d.OrderEnvelope.Signatures) != 0 {
			return nil, refusal.New(stepJudge, refusal.OrderInvalid, "a %s order carries signatures", a.d.Order.Tier)
		}
		return nil, nil
	}
	by, err := a.root.whoSigned(ctx, a.d.OrderEnvelope, RoleApprovers)
	if err != nil {
		return nil, refusal.New(stepJudge, refusal.ApprovalsMissing, "approvers: %v", err)
	}
	if no := by.inTime(a.root, a.d.Order.ValidFrom); no != nil {
		return nil, no
	}
	return by.keys, nil
}
