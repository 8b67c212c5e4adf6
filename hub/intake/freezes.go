package intake

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// takeFreezes puts into force what is frozen, and comes again when the first of it ends by itself.
func (i *Intake) takeFreezes(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.FreezeList
	if err := i.client.List(ctx, &list); err != nil {
		return reconcile.Result{}, err
	}
	declared := make([]gateway.Freeze, 0, len(list.Items))
	var again time.Duration
	for _, object := range list.Items {
		declared = append(declared, freezeOf(&object))
		if object.Spec.Until == nil || object.Spec.Thawed {
			continue
		}
		if left := time.Until(object.Spec.Until.Time); left > 0 && (again == 0 || left < again) {
			again = left
		}
	}
	if err := i.gateway.Freeze(ctx, declared); err != nil {
		return reconcile.Result{}, err
	}
	if again > 0 {
		again += time.Second // past the end, whatever the clock's grain
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// readFreezes reads for the first time what is frozen, until that succeeds: nothing is signed before.
func (i *Intake) readFreezes(ctx context.Context) {
	for {
		_, err := i.takeFreezes(ctx, reconcile.Request{})
		if err == nil {
			return
		}
		i.log.WarnContext(ctx, "what is frozen is not known yet, will ask again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func freezeOf(object *v1alpha1.Freeze) gateway.Freeze {
	spec := object.Spec
	f := gateway.Freeze{UID: string(object.UID), Name: object.Name, Scope: spec.Scope.String(), Cluster: spec.Scope.Cluster,
		AgentClass: spec.Scope.AgentClass, Action: spec.Scope.Action, Reason: spec.Reason, By: spec.FrozenBy,
		RevokeCredentials: spec.RevokeCredentials, Thawed: spec.Thawed, ThawedBy: spec.ThawedBy}
	if f.RevokeCredentials {
		f.Scope += ", with the credentials of what was started"
	}
	if spec.Until != nil {
		until := spec.Until.UTC()
		f.Until = &until
	}
	return f
}
