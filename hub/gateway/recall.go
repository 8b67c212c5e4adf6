package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// recall completes the parameters of an action that goes by what an earlier order found: out of the hub's own record of it, in the
// same cluster and on the same target, and only where a spoke has signed that it was applied, on exactly what was recorded. Nil
// where the action needs none.
func (g *Gateway) recall(ctx context.Context, r *Record, action *catalogue.Action) (json.RawMessage, *refusal.Refusal, error) {
	if action.Recall == nil {
		return nil, nil, nil
	}
	_, c, _ := r.action()
	order, err := action.Recalls(c)
	if err != nil {
		return nil, refusal.New("validate", refusal.ParametersInvalid, "%s: %v", action.Name, err), nil
	}
	unknown := func(why string) (json.RawMessage, *refusal.Refusal, error) {
		return nil, refusal.New("validate", refusal.RevisionUnknown, "%s: %s; an order that changed it is named by its annotation %s, and on the audit log",
			order, why, catalogue.OrderAnnotation), nil
	}
	earlier, err := g.load(ctx, strings.TrimPrefix(order, orderPrefix))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown("no such order is on record")
	case err != nil:
		return nil, nil, err
	case earlier.Order == nil || earlier.Request.Cluster != r.Request.Cluster || earlier.Request.Target != r.Request.Target:
		return unknown("it is not about " + r.Request.Target.String() + " in cluster " + r.Request.Cluster)
	case earlier.Receipt == nil || earlier.Receipt.Result != bundle.Applied:
		return unknown("it has changed nothing")
	}
	_, was, _ := earlier.Order.Case()
	completed, err := action.Recall(c, earlier.Order.Action, was)
	if err != nil {
		return unknown(err.Error())
	}
	return completed, nil, nil
}
