package intake

import (
	"context"
	"encoding/json"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// inStead finds out in whose stead the hub asks. A request of the hub's account says which rollout or which request it is for;
// who is behind that is what the API server wrote into the rollout, or what the gateway's own record says of the request.
func (i *Intake) inStead(ctx context.Context, object *v1alpha1.ActionRequest, request *gateway.Request) error {
	spec := object.Spec
	if spec.Rollout == nil && spec.Undoes == nil {
		return nil
	}
	if spec.Requester != v1alpha1.HubAccount {
		request.Doubt = "only the hub asks in another's stead"
		return nil
	}
	if spec.Undoes != nil {
		request.Undoes = spec.Undoes.UID
	}
	if spec.Rollout == nil {
		return nil
	}
	var rollout v1alpha1.Rollout
	err := i.manager.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: spec.Rollout.Name}, &rollout)
	if apierrors.IsNotFound(err) || err == nil && string(rollout.UID) != spec.Rollout.UID {
		request.Doubt = fmt.Sprintf("there is no rollout %s with the UID %s", spec.Rollout.Name, spec.Rollout.UID)
		return nil
	}
	if err != nil {
		return err
	}
	request.Doubt, err = i.doubt(ctx, &rollout, object)
	request.Rollout, request.Requester, request.AgentClass = string(rollout.UID), rollout.Spec.Requester, rollout.Spec.AgentClass
	return err
}

// doubt says what of a request the rollout did not ask for; empty where there is nothing.
func (i *Intake) doubt(ctx context.Context, rollout *v1alpha1.Rollout, object *v1alpha1.ActionRequest) (string, error) {
	asked, spec := rollout.Spec.Request, object.Spec
	if spec.Undoes != nil {
		if rollout.Spec.OnFailure != v1alpha1.FailureUndo {
			return fmt.Sprintf("rollout %s undoes nothing", rollout.Name), nil
		}
		return "", nil // the gateway knows what it undoes
	}
	if spec.Action != asked.Action || spec.Target != asked.Target || !catalogue.Equal(decoded(spec.Parameters), decoded(asked.Parameters)) {
		return fmt.Sprintf("rollout %s asks for something else", rollout.Name), nil
	}
	cluster := v1alpha1.Cluster{}
	cluster.Name = spec.Cluster
	if len(rollout.Spec.Selector.Names) == 0 {
		err := i.manager.GetAPIReader().Get(ctx, client.ObjectKey{Name: spec.Cluster}, &cluster)
		if client.IgnoreNotFound(err) != nil {
			return "", err
		}
	}
	if !rollout.Spec.Selector.Matches(&cluster) {
		return fmt.Sprintf("rollout %s does not select the cluster %s", rollout.Name, spec.Cluster), nil
	}
	return "", nil
}

// decoded is a value that compares by content; nil where there is none.
func decoded(raw *apiextensionsv1.JSON) (value any) {
	if raw == nil || json.Unmarshal(raw.Raw, &value) != nil {
		return nil
	}
	return value
}
