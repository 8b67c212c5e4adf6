package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// follow makes the operations that follow a change, each again and again until the API server lets it. What is left when the time is
// over, or what a freeze stops, is no refusal: the change was made, the receipt says how far it went, and the prediction tells whether
// that was enough.
func (e *Executor) follow(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	if len(a.change.Then) == 0 {
		return nil, nil
	}
	bounded, cancel := context.WithTimeout(ctx, a.change.Within)
	defer cancel()
	r := round{left: a.change.Then}
	for pause := firstPause; len(r.left) > 0; pause = min(2*pause, lastPause) {
		frozen, err := e.Journal.Frozen()
		e.broken(err)
		if no := frozen.Judge(a.id(), a.decoded.Order.Action, e.Now()); err == nil && no != nil {
			r.why = no.Detail
			break
		}
		r.next(bounded, a.api, fieldManager(a.decoded.Order))
		if len(r.left) > 0 && !e.sleep(bounded, pause) {
			break
		}
	}
	a.change.Says = r.told(a.change)
	return nil, nil
}

// round is how far the operations that follow a change have got.
type round struct {
	left   []catalogue.Change
	denied []catalogue.Change // of which the API server said that they cannot be
	why    string             // one is left or denied
}

// next tries each operation that is left once.
func (r *round) next(ctx context.Context, a *api, manager string) {
	var left []catalogue.Change
	for _, one := range r.left {
		_, err := a.do(ctx, one, manager, false)
		switch over, why := settled(err); {
		case !over:
			left = append(left, one)
			if ctx.Err() == nil || r.why == "" { // that the time is over says nothing of why
				r.why = why
			}
		case why != "":
			r.denied, r.why = append(r.denied, one), why
		}
	}
	r.left = left
}

func (r *round) told(change catalogue.Change) string {
	all := len(change.Then)
	left := slices.Concat(r.left, r.denied)
	if len(left) == 0 {
		return fmt.Sprintf("%s; all %d done", change.Says, all)
	}
	return fmt.Sprintf("%s; %d of %d done, left: %s/%s and %d more: %s", change.Says, all-len(left), all, left[0].Namespace, left[0].Name,
		len(left)-1, refusal.OneLine(r.why))
}

// settled reports whether there is no use in trying an operation again, and why it was not made. Its object being gone, or being another
// one, is as good as having been made.
func settled(err error) (over bool, why string) {
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return true, ""
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return true, err.Error()
	}
	return false, err.Error()
}

// following has what follows a change checked too: it refuses what can never be. What a budget does not allow yet may wait.
func following(ctx context.Context, a *api, change catalogue.Change, manager string) (*refusal.Refusal, error) {
	for _, one := range change.Then {
		_, err := a.do(ctx, one, manager, true)
		if over, why := settled(err); over && why != "" {
			return refusal.New("dryRun", refusal.DryRunRefused, "%s: the API server said: %s", one.Says, why), nil
		}
	}
	return nil, ctx.Err()
}

// withFollowing is an object after a change, with what follows, each kind of it once and how often.
func withFollowing(change catalogue.Change, after []byte) ([]byte, error) {
	if len(change.Then) == 0 {
		return after, nil
	}
	object := map[string]any{}
	if err := json.Unmarshal(after, &object); err != nil {
		return nil, err
	}
	then := map[string]int{}
	for _, one := range change.Then {
		then[one.Says]++
	}
	object["then"] = then
	return json.Marshal(object)
}
