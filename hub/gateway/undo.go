package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// undo ends a life: it counts what missed, and undoes it where that is wanted.
func (g *Gateway) undo(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	tried, err := g.learnTry(ctx, r, now)
	if err != nil {
		return outcome{}, err
	}
	out, err := g.putBack(ctx, r, now)
	out.ops = append(out.ops, tried...)
	return out, err
}

// putBack asks for the inverse of a change whose prediction did not come true, where a policy says so. It is an action with a life
// of its own; what undoes is never undone, so that nothing goes on for ever.
func (g *Gateway) putBack(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	switch {
	case !r.missed():
		return passed("nothing to undo"), nil
	case r.Request.Undoes != "":
		return passed("what undoes is never undone"), nil
	case r.reverted():
		return g.leave(r, now)
	case g.Undoer == nil || r.Verdict == nil || r.Verdict.OnMiss != v1alpha1.OnMissUndo:
		return passed("left as it is: no policy has it undone"), nil
	}
	inverse := r.Inverse()
	if inverse == nil {
		return passed("left as it is: %s has no inverse", r.Request.Action), nil
	}
	name, err := g.Undoer.Undo(ctx, r.Request, r.Trace, *inverse,
		fmt.Sprintf("%s did not have the effect that was predicted: %s", r.Request.Name, r.Outcome.Detail))
	if err != nil {
		return outcome{}, err
	}
	if name == "" {
		return passed("left as it is: no request to undo it can be made in its namespace"), nil
	}
	out := passed("undone by %s", name)
	out.learn = func(r *Record) { r.UndoneBy = name }
	return out, nil
}

// leave leaves what something else has put back already to people: to do it again, or to undo it, would be a fight.
func (g *Gateway) leave(r *Record, now time.Time) (outcome, error) {
	if r.Request.AgentClass == "" {
		return passed("something else has reverted it: left as it is"), nil
	}
	_, detail := r.Phase()
	group, ops, err := g.takeOver(r, detail, now)
	out := passed("something else has reverted it: left as it is (asked to take over: %s)", orElse(group, "nobody, since no group has a hook"))
	out.ops = ops
	return out, err
}

// missed reports whether something was changed, and what was predicted did not come true.
func (r *Record) missed() bool {
	return r.Receipt != nil && r.Receipt.Result == bundle.Applied && r.Outcome != nil && r.Outcome.Result == bundle.DidNot
}
