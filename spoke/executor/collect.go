package executor

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// collect carries out an action that finds out: what it has put together goes to the hub with the receipt, which names its digest.
func (e *Executor) collect(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	action, c := a.verified.Action()
	if action.Probe != nil {
		return e.probe(ctx, a, action.Probe(c))
	}
	artefact, err := collect(ctx, a.api, action, c)
	if no, err := verdictOf("apply", refusal.ApplyRefused, err); no != nil || err != nil {
		return no, err
	}
	a.artefact, a.sent, a.done = artefact, true, true
	a.change.Says = fmt.Sprintf("collected %d bytes of diagnostics", len(artefact))
	return nil, nil
}

// probe has a pod of the sandbox find something out. That the target is still what the order was judged on, the dry run has seen.
func (e *Executor) probe(ctx context.Context, a *attempt, of catalogue.Probe) (*refusal.Refusal, error) {
	if e.Prober == nil {
		return refusal.New("apply", refusal.ApplyRefused, "%v", ErrNoPods), nil
	}
	found, err := e.Prober.Probe(ctx, a.decoded.Order.ID, of)
	if errors.Is(err, ErrNoAnswer) {
		return refusal.New("apply", refusal.ApplyRefused, "%v", err), nil
	}
	if err != nil {
		return nil, err
	}
	a.artefact, a.sent, a.done = found.Artefact(a.decoded.Order.Target), true, true
	a.change.Says += ": " + string(found.Result)
	return nil, nil
}

// collect reads the target and all that an action collects. What is not there, or not to be had from the node, is said in its place:
// whatever is broken is what somebody wants to know about. What is forbidden is an error.
func collect(ctx context.Context, a *api, action *catalogue.Action, c catalogue.Case) ([]byte, error) {
	target, err := a.get(ctx, catalogue.Read{Kind: c.Kind, Name: c.Target.Name})
	if err != nil {
		return nil, err
	}
	reads := action.Collects(c)
	found := make([]catalogue.Found, len(reads))
	for i, read := range reads {
		raw, err := a.get(ctx, read)
		if status := apierrors.APIStatus(nil); errors.As(err, &status) && read.Name != "" && !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
			found[i].Problem, err = refusal.OneLine(err.Error()), nil
		}
		if err != nil {
			return nil, err
		}
		found[i].Raw = raw
	}
	return action.Artefact(c, target, found), nil
}
