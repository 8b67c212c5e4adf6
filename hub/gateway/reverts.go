package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// latest is the last change that was made to a target by an order.
type latest struct {
	ID   string    `json:"id"` // of its request
	At   time.Time `json:"at"`
	Told bool      `json:"told,omitempty"` // people were asked to take over, since something had reverted it
}

func latestKey(r Request) string { return latestPrefix + r.Cluster + "/" + r.Target.String() }

// remember is what to write of a change that was made.
func (r *Record) remember() ([]store.Op, error) {
	if action, _, ok := r.action(); !ok || r.Receipt.Result != bundle.Applied || action.Effect == catalogue.Collects {
		return nil, nil
	}
	raw, err := json.Marshal(latest{ID: r.Request.ID, At: r.Receipt.FinishedAt})
	return []store.Op{store.Put(latestKey(r.Request), raw)}, err
}

// fights refuses an agent the very change that was made last and that something else has reverted since: the two would go on for ever.
// People may go on. The first group is asked to take over, once, with the first of these refusals.
func (g *Gateway) fights(ctx context.Context, r *Record, now time.Time) (no *refusal.Refusal, ops []store.Op, err error) {
	if r.Request.AgentClass == "" || r.Request.instead() {
		return nil, nil, nil
	}
	item, err := g.Store.Get(ctx, latestKey(r.Request))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var l latest
	if err := json.Unmarshal(item.Value, &l); err != nil || now.Sub(l.At) > triesLast {
		return nil, nil, err
	}
	before, err := g.load(ctx, l.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil || !r.repeats(before) {
		return nil, nil, err
	}
	no = refusal.New("order", refusal.Reverted, "%s made this change at %s (%s), and something else has reverted it: it takes a person to ask for it again",
		before.Request.Name, l.At.UTC().Format(time.RFC3339), before.Receipt.Change)
	if l.Told {
		return no, nil, nil
	}
	l.Told = true
	ops, err = g.handOver(r, no, now, item, l)
	return no, ops, err
}

// repeats reports whether a record would change, once more, just what an earlier one changed: the object is as it was before that.
// What has no inverse has nothing to revert.
func (r *Record) repeats(earlier *Record) bool {
	if earlier.Inverse() == nil || r.Request.Action != earlier.Request.Action || r.Facts.UID != earlier.Facts.UID ||
		!sameJSON(r.Request.Parameters, earlier.Request.Parameters) {
		return false
	}
	if before, now := earlier.Rehearsed, r.Rehearsed; before != nil && now != nil && before.Diff != nil && now.Diff != nil {
		return slices.Equal(changes(before.Diff), changes(now.Diff)) && now.Diff.Rest == before.Diff.Rest
	}
	was := earlier.former()
	for field, value := range was {
		if now, ok := declared(*r.Facts, field); !ok || now != value {
			return false
		}
	}
	return len(was) > 0
}

// changes are those of a diff but for the mark of the order.
func changes(d *diff.Diff) []diff.Field {
	return slices.DeleteFunc(slices.Clone(d.Changes), func(f diff.Field) bool { return strings.Contains(f.Path, catalogue.OrderAnnotation) })
}

// former is what the fields that an order was to change held before.
func (r *Record) former() map[string]string {
	was := map[string]string{}
	if r.Order == nil || r.Facts == nil {
		return was
	}
	var wanted map[string]json.RawMessage
	_ = json.Unmarshal(r.Order.Prediction.Want, &wanted) // none, or as the catalogue made it
	if r.Order.Prediction.Expect == catalogue.ReadyReplicas {
		wanted = map[string]json.RawMessage{"replicas": nil}
	}
	for field := range wanted {
		if value, ok := declared(*r.Facts, field); ok {
			was[field] = value
		}
	}
	return was
}

// declared is what a field of a target holds, as a drift writes it.
func declared(f catalogue.Facts, field string) (value string, ok bool) {
	if f.State == nil {
		return strconv.Itoa(int(f.Replicas)), field == "replicas"
	}
	var state map[string]json.RawMessage
	if err := json.Unmarshal(f.State, &state); err != nil {
		return "", false
	}
	if there, ok := state[field]; ok {
		return string(there), true
	}
	return "none", true
}

// reverted reports whether a change was made, and a field of it was as before when its prediction ended.
func (r *Record) reverted() bool {
	if !r.missed() || r.Inverse() == nil {
		return false
	}
	was := r.former()
	return slices.ContainsFunc(r.Outcome.Drift, func(d catalogue.Drift) bool {
		former, ok := was[d.Field]
		return ok && d.Actual == former && d.Predicted != former
	})
}
