package gateway

import (
	"context"
	"time"

	writv1 "github.com/writ-dev/writ/api/writv1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// askAgain is how often a spoke that has not answered is asked again.
const askAgain = 2 * time.Second

// validate checks the request against the catalogue: the action, its parameters, the target's kind, the cluster.
func (g *Gateway) validate(ctx context.Context, r *Record, _ time.Time) (outcome, error) {
	action, ok := catalogue.Actions()[r.Request.Action]
	if !ok {
		return refuse(refusal.New("validate", refusal.ActionUnknown, "the catalogue has no %q; it has %v",
			r.Request.Action, catalogue.Names())), nil
	}
	if _, ok := catalogue.Find(action.Kinds, r.Request.Target); !ok {
		return refuse(refusal.New("validate", refusal.TargetKindNotAllowed, "%s takes no %s of %s",
			action.Name, r.Request.Target.Kind, r.Request.Target.APIVersion)), nil
	}
	if err := action.Validate(r.Request.Parameters); err != nil {
		return refuse(refusal.New("validate", refusal.ParametersInvalid, "%s: %v", action.Name, err)), nil
	}
	if _, ok, err := g.Clusters.Enrolled(ctx, r.Request.Cluster); err != nil {
		return outcome{}, err
	} else if !ok {
		return refuse(refusal.New("validate", refusal.ClusterUnknown,
			"no cluster %q has joined: see writ cluster list", r.Request.Cluster)), nil
	}
	return passed("%s of %s", action.Name, r.Request.Target), nil
}

// inspect asks the spoke what the target is now: its UID and what the tier is computed from. The hub itself has no way in.
func (g *Gateway) inspect(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	switch {
	case r.FactsProblem != "":
		return refuse(refusal.New("inspect", refusal.TargetNotFound, "%s in cluster %s: %s",
			r.Request.Target, r.Request.Cluster, r.FactsProblem)), nil
	case r.Facts != nil:
		return passed("found, %d/%d ready", r.Facts.ReadyReplicas, r.Facts.Replicas), nil
	}
	t := r.Request.Target
	asked := g.Inspector.Inspect(ctx, r.Request.Cluster, &writv1.Inspect{
		InspectId: r.Request.ID, ApiVersion: t.APIVersion, Kind: t.Kind, Namespace: t.Namespace, Name: t.Name,
	})
	if !asked {
		return waiting(now.Add(askAgain), "cluster %s is not connected", r.Request.Cluster), nil
	}
	return waiting(now.Add(askAgain), "cluster %s is asked about %s", r.Request.Cluster, t), nil
}
