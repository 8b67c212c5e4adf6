package gateway

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// leased says what of a record's change is leased, and until when; empty where nothing is. A guard that a person relaxes is the person's;
// what a policy has leased from the tool that owns the target is so for everybody.
func (r *Record) leased() (what string, until time.Time) {
	action, c, ok := r.action()
	if !ok || r.Request.Undoes != "" || r.Inverse() == nil || r.missed() {
		return "", time.Time{}
	}
	if action.Guard != nil && r.Request.AgentClass != "" && !r.Request.instead() {
		what = action.Guard(c)
	}
	if what == "" && r.Verdict != nil && r.Verdict.GitOps == v1alpha1.GitOpsLease {
		what = "leased from " + c.Facts.ManagedBy
	}
	return what, r.Receipt.FinishedAt.Add(cmp.Or(r.RelaxedFor, DefaultLimits.RelaxedFor))
}

// lease ends a life whose change was leased once its time is over: by its inverse, in a request of its own. The record stays open
// until then, so that a hub that starts again goes on waiting.
func (g *Gateway) lease(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	what, until := r.leased()
	switch {
	case what == "" || g.Undoer == nil:
		return passed("no lease"), nil
	case now.Before(until):
		return waiting(until, "%s, until %s", what, until.UTC().Format(time.RFC3339)), nil
	}
	name, err := g.Undoer.Undo(ctx, r.Request, r.Trace, *r.Inverse(), fmt.Sprintf("the lease of %s has ended: %s", r.Request.Name, what))
	if err != nil {
		return outcome{}, err
	}
	if name == "" {
		return passed("the lease ended and nothing is put back: no request for it can be made in its namespace"), nil
	}
	out := passed("the lease ended: put back by %s", name)
	out.learn = func(r *Record) { r.UndoneBy = name }
	return out, nil
}

// moved refuses to put back what is no longer as the action left it: somebody else has changed it since, and knows why.
func (g *Gateway) moved(ctx context.Context, r *Record) (*refusal.Refusal, error) {
	if r.Request.Undoes == "" || r.Request.Rollout != "" {
		return nil, nil
	}
	undone, err := g.load(ctx, r.Request.Undoes)
	if err != nil || undone.Outcome == nil || undone.Outcome.Result != bundle.CameTrue {
		return nil, err
	}
	if was := undone.Order.Prediction; !was.StillSeen(*r.Facts) {
		return refusal.New("inspect", refusal.TargetChanged, "%s was to be put back, but it is no longer as %s left it (%s): left as it is, %s now",
			r.Request.Target, undone.Request.Name, was.Want, r.Facts), nil
	}
	return nil, nil
}
