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
func (g *Gateway) validate(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	if no, err := g.forgotten(ctx, r); err != nil {
		return outcome{}, err
	} else if no != nil {
		return refuse(no), nil
	}
	stead, no, err := g.stead(ctx, r)
	if err != nil {
		return outcome{}, err
	}
	if no != nil {
		return refuse(no), nil
	}
	action, of, ready, err := g.actionOf(r.Request.Action)
	if err != nil {
		return refuse(refusal.New("validate", refusal.ActionUnknown, "%v", err)), nil
	}
	if !ready {
		return waiting(now.Add(time.Second), "the templates are being read"), nil
	}
	kind, ok := catalogue.Find(action.Kinds, r.Request.Target)
	if !ok {
		return refuse(refusal.New("validate", refusal.TargetKindNotAllowed, "%s takes no %s of %s",
			action.Name, r.Request.Target.Kind, r.Request.Target.APIVersion)), nil
	}
	if kind.ClusterScoped != (r.Request.Target.Namespace == "") {
		return refuse(refusal.New("validate", refusal.TargetKindNotAllowed, "%s: a namespace is named exactly where the kind has one", r.Request.Target)), nil
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
	recalled, no, err := g.recall(ctx, r, action)
	if no != nil || err != nil {
		return refuseOr(no, err)
	}
	out := passed("%s of %s", action.Name, r.Request.Target)
	out.learn = func(r *Record) {
		r.Template = of
		if stead != nil {
			stead(r)
		}
		if recalled != nil {
			r.Request.Parameters = recalled
		}
	}
	return out, nil
}

// inspect asks the spoke what the target is now: its UID and what the tier is computed from. The hub itself has no way in.
func (g *Gateway) inspect(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	switch {
	case r.onHub():
		return g.lookHere(r), nil
	case r.FactsProblem != "":
		return refuse(refusal.New("inspect", refusal.TargetNotFound, "%s in cluster %s: %s",
			r.Request.Target, r.Request.Cluster, r.FactsProblem)), nil
	case r.Facts != nil:
		if no, err := g.moved(ctx, r); err != nil {
			return outcome{}, err
		} else if no != nil {
			return refuse(no), nil
		}
		return passed("found, %s", r.Facts), nil
	}
	t := r.Request.Target
	inspect := &writv1.Inspect{
		InspectId: r.Request.ID, ApiVersion: t.APIVersion, Kind: t.Kind, Namespace: t.Namespace, Name: t.Name,
		Action: r.Request.Action, Parameters: r.Request.Parameters,
	}
	if r.Template != nil {
		inspect.TemplateDigest = r.Template.Digest()
	}
	sent, able := g.Inspector.Inspect(ctx, r.Request.Cluster, inspect)
	if !able {
		return refuse(refusal.New("inspect", refusal.SpokeTooOld, "the spoke of cluster %s is of an older release, which knows no actions of a site's own: upgrade it",
			r.Request.Cluster)), nil
	}
	if !sent {
		return waiting(now.Add(askAgain), "cluster %s is not connected", r.Request.Cluster), nil
	}
	return waiting(now.Add(askAgain), "cluster %s is asked about %s", r.Request.Cluster, t), nil
}
