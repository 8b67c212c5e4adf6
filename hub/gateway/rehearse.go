package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// rehearse has the spoke try out, with an identity that cannot change anything, what the order will say. What came of it is what
// approvers see, and its digest goes into the order. Low needs none, unless the action says so: it runs at once, and its own dry run comes
// before it.
func (g *Gateway) rehearse(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	action, _, _ := r.action()
	switch {
	case r.onHub():
		return passed("the hub carries it out itself"), nil
	case r.Verdict.Tier == catalogue.Low && !action.Rehearsed:
		return passed("tier low needs none"), nil
	case r.Rehearsed != nil:
		return g.rehearsed(r)
	}
	asked := r.Rehearsal
	if asked == nil || now.After(asked.Expires) {
		next, no, err := g.signRehearsal(ctx, r, now)
		if err != nil {
			return unsigned(err, now)
		}
		if no != nil {
			return refuse(no), nil
		}
		out := waiting(now, "cluster %s rehearses it", r.Request.Cluster) // once it is on disk: its answer is held against that
		out.learn = func(r *Record) { r.Rehearsal = next }
		return out, nil
	}
	sent, able := g.Rehearser.Rehearse(ctx, r.Request.Cluster, asked.Envelope)
	if !able {
		return unrehearsed(r), nil
	}
	out := waiting(now.Add(askAgain), "cluster %s rehearses it", r.Request.Cluster)
	if !sent {
		out = waiting(now.Add(askAgain), "cluster %s is not connected", r.Request.Cluster)
	}
	return out, nil
}

func refuseOr(no *refusal.Refusal, err error) (outcome, error) {
	if err != nil {
		return outcome{}, err
	}
	return refuse(no), nil
}

// rehearsed is what a rehearsal means for the request.
func (g *Gateway) rehearsed(r *Record) (outcome, error) {
	word := r.Rehearsed
	if word.Refusal != nil {
		return refuse(refusal.New("rehearse", known(word.Refusal.Reason), "in the rehearsal, at %s: %s", word.Refusal.Step, word.Refusal.Detail)), nil
	}
	return passed("%s: %s changes (%s)", orElse(word.Change, "rehearsed"), fmt.Sprint(len(word.Diff.Changes)+word.Diff.Omitted), word.Place), nil
}

// unrehearsed is for a spoke of an older release: an approver at medium is told so, and high is refused.
func unrehearsed(r *Record) outcome {
	if r.Verdict.Tier == catalogue.High {
		return refuse(refusal.New("rehearse", refusal.RehearsalUnavailable,
			"the spoke of cluster %s is of an older release and cannot rehearse, which tier high needs: upgrade it", r.Request.Cluster))
	}
	return passed("not rehearsed: the spoke of cluster %s is of an older release", r.Request.Cluster)
}

// known are the reasons that a spoke may give; whatever else it says is not shown as a reason of this hub's.
func known(reason refusal.Reason) refusal.Reason {
	switch reason {
	case refusal.TargetChanged, refusal.NothingToDo, refusal.LocalPolicyDenied, refusal.CredentialRefused, refusal.DryRunRefused,
		refusal.DeadlineExceeded, refusal.ActionUnknown, refusal.ParametersInvalid, refusal.TargetKindNotAllowed,
		refusal.RulesMismatch, refusal.OrderInvalid, refusal.TierTooLow:
		return reason
	}
	return refusal.RehearsalRefused
}

// signRehearsal signs what is to be tried out, with another ID each time.
func (g *Gateway) signRehearsal(ctx context.Context, r *Record, now time.Time) (*Asked, *refusal.Refusal, error) {
	enrolled, ok, err := g.Clusters.Enrolled(ctx, r.Request.Cluster)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, refusal.New("rehearse", refusal.ClusterUnknown, "cluster %s has left", r.Request.Cluster), nil
	}
	asked := &Asked{Times: 1}
	if r.Rehearsal != nil {
		asked.Times = r.Rehearsal.Times + 1
	}
	asked.ID = fmt.Sprintf("rehearsal-%s-%d", r.Request.ID, asked.Times)
	o := makeOrder(r, enrolled.Audience, *r.Verdict, now)
	from := now.UTC().Truncate(time.Second)
	rehearsal := bundle.Rehearsal{Format: bundle.Format, ID: asked.ID, Audience: o.Audience, NotBefore: from, Expires: from.Add(bundle.MaxRehearsalLife),
		OrderID: o.ID, Action: o.Action, Target: o.Target, Parameters: o.Parameters, Observed: o.Observed, Tier: o.Tier,
		DeadlineSeconds: o.DeadlineSeconds, Rules: o.Rules, RequestID: o.RequestID, PolicyDigest: o.PolicyDigest, Traceparent: r.Trace, Template: o.Template}
	asked.Expires = rehearsal.Expires
	asked.Envelope, err = g.seal(ctx, r.Request.Cluster, bundle.RehearsalType, rehearsal)
	asked.Digest = bundle.Digest(asked.Envelope)
	return asked, nil, err
}

// Rehearsed takes a spoke's signed word on what came of a rehearsal. The first answer to the rehearsal that was signed last counts.
func (g *Gateway) Rehearsed(ctx context.Context, cluster, rehearsalID string, raw []byte) error {
	envelope, word, no := bundle.OpenRehearsed(raw)
	if no != nil {
		return fmt.Errorf("%w: rehearsal %s: %s", ErrNotOurs, rehearsalID, no)
	}
	if err := g.attest(ctx, cluster, envelope); err != nil {
		return fmt.Errorf("rehearsal %s: %w", rehearsalID, err)
	}
	return g.change(ctx, word.RequestID, func(r *Record) bool {
		if r.Rehearsed != nil || r.Rehearsal == nil || r.Order != nil || r.Request.Cluster != cluster ||
			word.Cluster != cluster || word.RehearsalDigest != r.Rehearsal.Digest {
			return false
		}
		r.Rehearsed, r.RehearsedRaw = &word, raw
		return true
	})
}

// rehearsalDigest is of the diff that approvers see; empty where nothing was rehearsed.
func (r *Record) rehearsalDigest() string {
	if r.Rehearsed == nil {
		return ""
	}
	return r.Rehearsed.Digest
}
