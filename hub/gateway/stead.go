package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/store"
)

// instead reports whether the hub asks in another's stead.
func (r Request) instead() bool { return r.Rollout != "" || r.Undoes != "" }

// stead finds in whose stead an undo is asked for: in that of who asked for what it undoes. It believes nothing but the record
// of that, and refuses what is not its inverse.
func (g *Gateway) stead(ctx context.Context, r *Record) (learn func(*Record), no *refusal.Refusal, err error) {
	doubt := func(detail string, args ...any) (func(*Record), *refusal.Refusal, error) {
		return nil, refusal.New("validate", refusal.SteadNotBelieved, detail, args...), nil
	}
	if r.Request.Doubt != "" {
		return doubt("%s", r.Request.Doubt)
	}
	if r.Request.Undoes == "" {
		return nil, nil, nil
	}
	undone, err := g.load(ctx, r.Request.Undoes)
	if errors.Is(err, store.ErrNotFound) {
		return doubt("no request with the ID %s is known", r.Request.Undoes)
	}
	if err != nil {
		return nil, nil, err
	}
	switch why := undone.undoable(r.Request, g.now()); {
	case why != "":
		return doubt("%s does not undo %s: %s", r.Request.Name, undone.Request.Name, why)
	case !undone.inverts(r.Request):
		return doubt("%s is not the inverse of %s", r.Request.Name, undone.Request.Name)
	}
	return func(r *Record) {
		r.Request.Requester, r.Request.AgentClass = undone.Request.Requester, undone.Request.AgentClass
		r.Request.DecisionID = undone.Request.DecisionID
	}, nil, nil
}

// undoable says why a request may not undo this record; empty where it may.
func (r *Record) undoable(by Request, now time.Time) string {
	guard, until := r.leased()
	switch {
	case r.Request.Undoes != "":
		return "it is an undo itself, and those are never undone by the hub"
	case r.Inverse() == nil:
		return "it changed nothing, or has no inverse"
	case by.Rollout != "" && by.Rollout == r.Request.Rollout, r.missed() && r.Verdict != nil && r.Verdict.OnMiss == v1alpha1.OnMissUndo,
		guard != "" && !now.Before(until):
		return ""
	}
	return "no policy, no rollout and no lease that has ended has the hub undo it"
}

// inverts reports whether a request is exactly the inverse of what this record did.
func (r *Record) inverts(by Request) bool {
	undo, target := r.Inverse(), r.Request.Target
	if undo != nil && undo.Target != nil {
		target = *undo.Target
	}
	return undo != nil && by.Action == undo.Action && by.Cluster == r.Request.Cluster && by.Target == target &&
		sameJSON(by.Parameters, undo.Parameters)
}

// sameJSON compares values, whatever the order of keys.
func sameJSON(a, b json.RawMessage) bool {
	var left, right any
	return json.Unmarshal(a, &left) == nil && json.Unmarshal(b, &right) == nil && catalogue.Equal(left, right)
}

// Withdraw takes a request back, unless something was signed for it already or it has ended. Saying it again changes nothing.
func (g *Gateway) Withdraw(ctx context.Context, requestID, why string) error {
	return g.change(ctx, requestID, func(r *Record) bool {
		if r.Withdrawn != "" || r.begun() || r.Next == "" {
			return false
		}
		r.Withdrawn = orElse(why, "it was taken back")
		return true
	})
}
