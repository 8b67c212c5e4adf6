package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// step is one step of an action's life. It reads the record and writes nothing itself: what it found out is in the outcome.
type step struct {
	name string
	take func(g *Gateway, ctx context.Context, r *Record, now time.Time) (outcome, error)
	last bool // of its stride: what it found out must be on disk before the next step is taken
}

// life is the life of an action on the hub, in order. The order is on disk before anybody is told of it: made anew, it would be
// another one.
var life = []step{
	{name: "validate", take: (*Gateway).validate},
	{name: "inspect", take: (*Gateway).inspect},
	{name: "limit", take: (*Gateway).limit},
	{name: "judge", take: (*Gateway).judge},
	{name: "rehearse", take: (*Gateway).rehearse},
	{name: "order", take: (*Gateway).writeOrder, last: true},
	{name: "approve", take: escalating((*Gateway).approve)},
	{name: "logIntent", take: (*Gateway).logIntent},
	{name: "sign", take: (*Gateway).sign},
	{name: "dispatch", take: (*Gateway).dispatch},
	{name: "awaitReceipt", take: (*Gateway).awaitReceipt, last: true}, // its target is free before anybody is asked to undo it
	{name: "observe", take: (*Gateway).observe},
	{name: "undo", take: (*Gateway).undo},
	{name: "lease", take: (*Gateway).lease},
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
	detail  string           // one line for people
	refusal *refusal.Refusal // where refused
	until   time.Time        // where waiting: when to look again at the latest
	learn   func(*Record)    // evidence for the record
	ops     []store.Op       // written together with the record, atomically
	then    func()           // done once all that is on disk
	last    bool             // as that of a step
	done    func()           // called when the commit was tried or given up, whatever came of it

	step          string    // set when it is taken
	entered, left time.Time // when the step could be taken, and when it was
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

func (g *Gateway) takeStep(ctx context.Context, r *Record) (outcome, error) {
	now := g.now()
	if !r.begun() && g.Policies.Policies() == nil {
		return waiting(now.Add(time.Second), "the policies are being read"), nil
	}
	if !r.begun() {
		frozen := g.stopped.Load()
		if frozen == nil {
			return waiting(now.Add(time.Second), "what is frozen is being read"), nil
		}
		if no := frozen.judge(r, now); no != nil {
			return refuse(no), nil
		}
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
	if r.begun() {
		return nil
	}
	if r.Withdrawn != "" {
		return refusal.New(r.Next, refusal.Withdrawn, "%s", r.Withdrawn)
	}
	if r.Order == nil && now.After(r.Request.CreatedAt.Add(requestLife)) {
		return refusal.New(r.Next, refusal.RequestExpired, "no order was made of it within %s (%s): ask again", requestLife, r.Waiting)
	}
	if no := g.templateStale(r); no != nil {
		return no
	}
	if r.Verdict == nil {
		return nil
	}
	if r.Order != nil && now.After(r.Order.ValidUntil) {
		return refusal.New(r.Next, refusal.ApprovalExpired, "nobody approved it before %s: ask again",
			r.Order.ValidUntil.UTC().Format(time.RFC3339))
	}
	verdict, no := g.ask(r, now)
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
