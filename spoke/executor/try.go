package executor

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
)

// trial is one action worked out, and checked by the API server, without being done.
type trial struct {
	change catalogue.Change
	diff   diff.Diff
}

// try works out an action's one change from what the API server lets be read, has it checked by a dry run, and says what it would
// change. Execution and rehearsal do the same here, so that they can be compared.
func try(ctx context.Context, a *api, action *catalogue.Action, c catalogue.Case, stamp catalogue.Stamp, veil []byte) (trial, *refusal.Refusal, error) {
	change, before, no, err := compute(ctx, a, action, c, stamp)
	if no != nil || err != nil {
		return trial{}, no, err
	}
	if change.Verb == catalogue.Nothing {
		changes, err := diff.Of(before, before, diff.Options{Object: objectOf(c, change), Kind: change.Kind.Kind, Veil: veil})
		return trial{change, changes}, nil, err
	}
	after, err := a.do(ctx, change, managerOf(stamp.OrderID), true)
	if no, err := verdictOf("dryRun", refusal.DryRunRefused, err); no != nil || err != nil {
		return trial{}, no, err
	}
	if no, err := following(ctx, a, change, managerOf(stamp.OrderID)); no != nil || err != nil {
		return trial{}, no, err
	}
	before, after = compared(change, before, after)
	if after, err = withFollowing(change, after); err != nil {
		return trial{}, nil, err
	}
	changes, err := diff.Of(before, after, diff.Options{Object: objectOf(c, change), Kind: change.Kind.Kind, Veil: veil,
		Status: change.Subresource == "status" || change.Subresource == "approval", At: stamp.At.UTC().Format(time.RFC3339)})
	return trial{change, changes}, nil, err
}

// compared is what an operation is seen in. Of a delete or an eviction, that the object is there and then is not; of a create, what
// is asked for: the API server adds names and identities of its own, anew at each try.
func compared(change catalogue.Change, before, after []byte) (was, is []byte) {
	switch {
	case change.Verb == catalogue.Delete, change.Verb == catalogue.Create && change.Subresource == "eviction":
		return []byte(`{"present":true}`), []byte(`{}`)
	case change.Verb == catalogue.Create:
		return []byte(`{}`), change.Body
	case change.Subresource == "scale":
		return counted(before), counted(after)
	}
	return before, after
}

// counted is a Scale with its number of replicas, which the API server leaves out where it is 0.
func counted(scale []byte) []byte {
	object := map[string]any{}
	if err := json.Unmarshal(scale, &object); err != nil {
		return scale
	}
	spec, _ := object["spec"].(map[string]any)
	if spec["replicas"] != nil {
		return scale
	}
	object["spec"] = map[string]any{"replicas": 0}
	filled, err := json.Marshal(object)
	if err != nil {
		return scale
	}
	return filled
}

// compute reads what the action needs, works the change out, and returns with it what it changes as it was read.
func compute(ctx context.Context, a *api, action *catalogue.Action, c catalogue.Case, stamp catalogue.Stamp) (change catalogue.Change, before []byte, no *refusal.Refusal, err error) {
	reads := action.Reads(c)
	read := make([][]byte, len(reads))
	for i, r := range reads {
		raw, err := a.get(ctx, r)
		if no, err := verdictOf("dryRun", refusal.DryRunRefused, err); no != nil || err != nil {
			return change, nil, no, err
		}
		read[i] = raw
	}
	change, err = action.Change(c, stamp, read)
	switch {
	case errors.Is(err, catalogue.ErrTargetChanged):
		return change, nil, refusal.New("dryRun", refusal.TargetChanged, "%v", err), nil
	case errors.Is(err, catalogue.ErrNothingToDo):
		return change, nil, refusal.New("dryRun", refusal.NothingToDo, "%v", err), nil
	case err != nil:
		return change, nil, refusal.New("dryRun", refusal.DryRunRefused, "%v", err), nil
	}
	for i, r := range reads {
		whole := r.Subresource == "" && change.Subresource != "scale" // the answer to other subresources is the whole object
		if r.Kind == change.Kind && r.Name == change.Name && (r.Subresource == change.Subresource || whole) {
			before = read[i]
		}
	}
	return change, before, nil, nil
}

// objectOf names what a change is about.
func objectOf(c catalogue.Case, change catalogue.Change) string {
	name := catalogue.Target{Kind: change.Kind.Kind, Namespace: c.Target.Namespace, Name: change.Name}.String()
	return strings.TrimSuffix(name+"/"+change.Subresource, "/")
}

// Rehearse tries out what a rehearsal says, as the same order would be before it is applied. config is a client's that can make
// dry runs alone; it is not the executor's to check that.
func Rehearse(ctx context.Context, config *rest.Config, r trust.Rehearsable, veil []byte, now time.Time) (changes diff.Diff, says string, no *refusal.Refusal, err error) {
	action, c := r.Action()
	a, err := newAPI(config, c.Target.Namespace)
	if err != nil {
		return diff.Diff{}, "", nil, err
	}
	t, no, err := try(ctx, a, action, c, catalogue.Stamp{OrderID: r.Rehearsal().OrderID, At: now}, veil)
	return t.diff, t.change.Says, no, err
}
