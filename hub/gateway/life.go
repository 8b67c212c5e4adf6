package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/fault"
)

// step is one step of an action's life. It reads the record and writes nothing itself: what it found out is in the outcome.
type step struct {
	name string
	take func(g *Gateway, ctx context.Context, r *Record, now time.Time) (outcome, error)
}

// life is the life of an action on the hub, in order.
var life = []step{
	{"validate", (*Gateway).validate},
	{"inspect", (*Gateway).inspect},
	{"limit", (*Gateway).limit},
	{"judge", (*Gateway).judge},
	{"approve", (*Gateway).approve},
	{"logIntent", (*Gateway).logIntent},
	{"sign", (*Gateway).sign},
	{"dispatch", (*Gateway).dispatch},
	{"awaitReceipt", (*Gateway).awaitReceipt},
	{"observe", (*Gateway).observe},
}

// Result is how a step ended.
type Result string

// The results. A step that waits is taken again when something happens.
const (
	Passed  Result = "passed"
	Waiting Result = "waiting"
	Refused Result = "refused"
)

// outcome is what a step found out.
type outcome struct {
	result  Result
	detail  string                // one line for people
	refusal *refusal.Refusal      // where refused
	until   time.Time             // where waiting: when to look again at the latest
	learn   func(*Record)         // evidence for the record
	ops     []store.Op            // written together with the record, atomically
	then    func(context.Context) // done once all that is on disk
	done    func()                // called when the commit was tried, whatever came of it
}

func passed(detail string, args ...any) outcome {
	return outcome{result: Passed, detail: fmt.Sprintf(detail, args...)}
}

func waiting(until time.Time, detail string, args ...any) outcome {
	return outcome{result: Waiting, until: until, detail: fmt.Sprintf(detail, args...)}
}

func refuse(no *refusal.Refusal) outcome {
	return outcome{result: Refused, refusal: no, detail: no.Detail}
}

// advance takes the steps of a record, one after another and each committed, until it waits or is closed. It returns when
// to look again; zero means that only an event can move it.
func (g *Gateway) advance(ctx context.Context, id string) (time.Time, error) {
	for {
		r, err := g.load(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		if r.Next == "" {
			return time.Time{}, nil
		}
		fault.Point("hub", r.Next, "before")
		out, err := g.takeStep(ctx, r)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", r.Next, err)
		}
		if out.result == Waiting && r.Waiting == out.detail && out.learn == nil {
			return out.until, nil
		}
		if out.result != Waiting {
			fault.Point("hub", r.Next, "taken")
		}
		err = g.commit(ctx, r, out)
		if out.done != nil {
			out.done()
		}
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		if out.result == Waiting {
			return out.until, nil
		}
		fault.Point("hub", r.Next, "after")
	}
}

func (g *Gateway) takeStep(ctx context.Context, r *Record) (outcome, error) {
	now := g.now()
	if r.Bundle == nil && g.Policies.Policies() == nil {
		return waiting(now.Add(time.Second), "the policies are being read"), nil
	}
	if no := g.stale(r, now); no != nil {
		return refuse(no), nil
	}
	s, _ := find(r.Next)
	if s == nil {
		return outcome{}, fmt.Errorf("the record waits for the unknown step %q", r.Next)
	}
	return s.take(g, ctx, r, now)
}

// stale refuses, before anything is signed, what has expired or would be judged otherwise today.
func (g *Gateway) stale(r *Record, now time.Time) *refusal.Refusal {
	if r.Bundle != nil {
		return nil
	}
	if r.Order == nil {
		if now.After(r.Request.CreatedAt.Add(requestLife)) {
			return refusal.New(r.Next, refusal.RequestExpired, "no order was made of it within %s (%s): ask again", requestLife, r.Waiting)
		}
		return nil
	}
	if now.After(r.Order.ValidUntil) {
		return refusal.New(r.Next, refusal.ApprovalExpired, "nobody approved it before %s: ask again",
			r.Order.ValidUntil.UTC().Format(time.RFC3339))
	}
	verdict, no := g.ask(r)
	if no != nil {
		return no
	}
	if verdict.Digest != r.Verdict.Digest {
		return refusal.New(r.Next, refusal.PolicyChanged, "the policies changed since it was judged: ask again")
	}
	return nil
}

func find(name string) (*step, string) {
	for i := range life {
		if life[i].name != name {
			continue
		}
		if i+1 < len(life) {
			return &life[i], life[i+1].name
		}
		return &life[i], ""
	}
	return nil, ""
}

// commit writes the record as a step leaves it, if it is still the one that the step read. A refusal is on the audit log
// before it is in the record.
func (g *Gateway) commit(ctx context.Context, r *Record, out outcome) error {
	now := g.now()
	next := *r
	next.Waiting = ""
	if out.learn != nil {
		out.learn(&next)
	}
	ops := append([]store.Op{store.Check(recordKey(r.Request.ID), r.version)}, out.ops...)
	switch out.result {
	case Waiting:
		next.Waiting = out.detail
	case Passed:
		_, next.Next = find(r.Next)
	case Refused:
		if err := g.recordRefusal(ctx, r, out.refusal, now); err != nil {
			return err
		}
		next.Next, next.Refusal = "", out.refusal
		ops = append(ops, g.release(ctx, r)...)
	}
	if out.result != Waiting {
		next.Steps = append(slices.Clip(r.Steps), // the record that was read stays as it is
			Taken{Step: r.Next, Result: out.result, Detail: out.detail, Entered: r.Entered, Left: now})
		next.Entered = now
	}
	if next.Next == "" {
		ops = append(ops, store.Delete(openKey(r.Request.ID)))
	}
	if err := g.put(ctx, &next, ops...); err != nil {
		return err
	}
	if next.Next == "" {
		g.forget(r.Request.ID)
	}
	if out.result != Waiting {
		g.trace(r, out, now)
		g.log.InfoContext(ctx, "step", "step", r.Next, "result", string(out.result), "detail", out.detail,
			"request", r.Request.Name, "cluster", r.Request.Cluster)
	}
	if out.then != nil {
		out.then(ctx)
	}
	return nil
}
