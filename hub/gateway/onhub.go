package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// An action that the hub carries out itself has the life of every other one: it is validated, limited, judged, approved and logged.
// Where the others are signed and sent, it is done here, and what a spoke would say is said by the hub, in entries of the audit log
// that nobody can take for a spoke's.

// lookHere finds whom an action of the hub is about, in the hub's own configuration.
func (g *Gateway) lookHere(r *Record) outcome {
	of := r.Request.Target
	if g.Notifier == nil || len(g.Notifier.Hooks(of)) == 0 {
		return refuse(refusal.New("inspect", refusal.TargetNotFound,
			"nobody is told of %s: approvals.groups and approvals.hooks of hub.yaml say who can be", of))
	}
	out := passed("told by %s", strings.Join(g.Notifier.Hooks(of), ", "))
	out.learn = func(r *Record) { r.Facts = &catalogue.Facts{UID: of.String()} }
	return out
}

// carryOut tells. What is to be sent is written together with the record: it is told once, and not without the record saying so.
func (g *Gateway) carryOut(r *Record, now time.Time) (outcome, error) {
	_, c, _ := r.Order.Case()
	hooks := g.Notifier.Hooks(c.Target)
	if len(hooks) == 0 {
		return refuse(refusal.New("sign", refusal.TargetNotFound, "nobody is told of %s any more", c.Target)), nil
	}
	ops, err := g.Notifier.Tell(Notice{Record: *r, Group: c.Target.Name, Escalated: r.Request.Action == "escalate", At: now, Text: c.Text(), Hooks: hooks})
	if err != nil {
		return outcome{}, err
	}
	receipt := bundle.Receipt{Cluster: r.Request.Cluster, OrderID: r.Order.ID, OrderDigest: r.OrderDigest, RequestID: r.Request.ID,
		Result: bundle.Applied, Change: fmt.Sprintf("told %s by %s", c.Target.Name, strings.Join(hooks, ", ")), StartedAt: now.UTC(), FinishedAt: now.UTC()}
	out := passed("%s", receipt.Change)
	out.ops, out.last = ops, true // what is looked for afterwards must be there by then
	out.learn = func(r *Record) { r.Receipt, r.Told = &receipt, hooks }
	return out, nil
}

// recordCarried puts on the audit log what the hub has done.
func (g *Gateway) recordCarried(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	entry := g.entry(auditlog.TypeCarried, r, now)
	entry.Carried = &auditlog.Carried{OrderDigest: r.OrderDigest, Change: r.Receipt.Change}
	if _, err := g.logOnce(ctx, r, note{entry: entry}); err != nil {
		return outcome{}, err
	}
	out := passed("%s", describe(r.Receipt))
	out.ops = g.release(ctx, r)
	return out, nil
}

// lookAgain is how often the hub looks whether what it predicted of itself has come true.
const lookAgain = time.Second

// observeHere looks whether a prediction has come true that only the hub can see.
func (g *Gateway) observeHere(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	held, detail, err := g.seeHere(ctx, r)
	if err != nil {
		return outcome{}, err
	}
	until := r.Receipt.FinishedAt.Add(time.Duration(r.Order.Prediction.WithinSeconds) * time.Second)
	if !held && now.Before(until) {
		return waiting(now.Add(lookAgain), "%s", detail), nil
	}
	seen := bundle.Outcome{Cluster: r.Request.Cluster, OrderID: r.Order.ID, OrderDigest: r.OrderDigest, RequestID: r.Request.ID,
		Result: bundle.DidNot, Detail: refusal.OneLine(detail), ObservedAt: now.UTC()}
	if held {
		seen.Result = bundle.CameTrue
	}
	entry := g.entry(auditlog.TypeObserved, r, now)
	entry.Observed = &auditlog.Observed{OrderDigest: r.OrderDigest, Result: seen.Result, Detail: seen.Detail}
	if _, err := g.logOnce(ctx, r, note{entry: entry}); err != nil {
		return outcome{}, err
	}
	out := passed("%s: %s", seen.Result, seen.Detail)
	out.learn = func(r *Record) { r.Outcome = &seen }
	return out, nil
}

// seeHere is what the hub sees of such a prediction now.
func (g *Gateway) seeHere(ctx context.Context, r *Record) (held bool, detail string, err error) {
	if r.Order.Prediction.Expect == catalogue.Stored {
		return len(r.Artefact) > 0, fmt.Sprintf("%d bytes are stored, %s", len(r.Artefact), orElse(r.Receipt.Artefact, "which nothing names")), nil
	}
	waits, err := g.Notifier.Waiting(ctx, r.Request.ID, r.Told)
	switch {
	case err != nil:
		return false, "", err
	case len(waits) > 0:
		return false, "not taken by " + strings.Join(waits, ", "), nil
	case g.now().After(r.Receipt.FinishedAt.Add(NoticeLife)):
		return false, "whether it was taken is not known: the hub was away for longer than a notice is kept", nil
	}
	return true, "taken by " + strings.Join(r.Told, ", "), nil
}

// NoticeLife is how long it is tried to tell what an action of the hub tells: longer than its prediction, so that what has left the
// queue in time was taken.
const NoticeLife = time.Hour
