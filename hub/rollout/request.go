package rollout

import (
	"encoding/json"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Label is on every request of a rollout; its value is the rollout's name.
const Label = "writ.dev/rollout"

// request is the request for one cluster.
func (d *decision) request(cluster string) *v1alpha1.ActionRequest {
	template := d.Rollout.Spec.Request
	return d.named(v1alpha1.RequestName(d.Rollout.Name, cluster), v1alpha1.ActionRequestSpec{
		Cluster: cluster, Action: template.Action, Target: template.Target, Parameters: template.Parameters.DeepCopy(), Reason: template.Reason,
	})
}

// inverse is the request that undoes another one; nil where there is no inverse. The gateway holds it against its own record.
func (d *decision) inverse(r *v1alpha1.ActionRequest) *v1alpha1.ActionRequest {
	var undo catalogue.Undo
	if r == nil || r.Status.Inverse == "" || json.Unmarshal([]byte(r.Status.Inverse), &undo) != nil {
		return nil
	}
	return d.named(v1alpha1.UndoName(r.Name), v1alpha1.ActionRequestSpec{
		Cluster: r.Spec.Cluster, Action: undo.Action, Target: r.Spec.Target, Parameters: &apiextensionsv1.JSON{Raw: undo.Parameters},
		Reason: fmt.Sprintf("rollout %s stopped: undo %s", d.Rollout.Name, r.Status.Change),
		Undoes: &v1alpha1.Reference{Name: r.Name, UID: string(r.UID)},
	})
}

// named makes a request that belongs to the rollout: it is deleted with it.
func (d *decision) named(name string, spec v1alpha1.ActionRequestSpec) *v1alpha1.ActionRequest {
	spec.Rollout = &v1alpha1.Reference{Name: d.Rollout.Name, UID: string(d.Rollout.UID)}
	controller := true
	return &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: d.Rollout.Namespace, Name: name,
		Labels: map[string]string{Label: d.Rollout.Name},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout",
			Name: d.Rollout.Name, UID: d.Rollout.UID, Controller: &controller}}},
		Spec: spec}
}
