package catalogue

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Target names the one object that an action touches. UID is empty in what people ask for and always set in an order.
type Target struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"` // empty for a cluster-scoped kind
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

// The GitOps tools by which Facts.ManagedBy may be.
const (
	ArgoCD = "argocd"
	Flux   = "flux"
	Helm   = "Helm"
)

// String reads like kubectl's names: "deployment/shop/checkout", "node/n1".
func (t Target) String() string {
	if t.Namespace == "" {
		return strings.ToLower(t.Kind) + "/" + t.Name
	}
	return strings.ToLower(t.Kind) + "/" + t.Namespace + "/" + t.Name
}

// Find returns the kind that a target names, among kinds.
func Find(kinds []Kind, t Target) (Kind, bool) {
	for _, k := range kinds {
		if k.APIVersion == t.APIVersion && k.Kind == t.Kind {
			return k, true
		}
	}
	return Kind{}, false
}

// Facts is what a spoke saw of a target at one moment, with its own read-only identity. An order carries the facts it was
// judged on; the spoke compares them with what it sees before it acts.
type Facts struct {
	UID                string `json:"uid"`
	Generation         int64  `json:"generation"`
	ObservedGeneration int64  `json:"observedGeneration"`
	Replicas           int32  `json:"replicas"`
	UpdatedReplicas    int32  `json:"updatedReplicas"`
	ReadyReplicas      int32  `json:"readyReplicas"`
	AvailableReplicas  int32  `json:"availableReplicas"`
	// CurrentReplicas counts the pods that exist, of any revision.
	CurrentReplicas int32 `json:"currentReplicas"`
	// Revision is the one in force; HealthyRevision the newest other one that is known to have been fully available, or
	// else the one before; 0 where there is none.
	Revision        int64 `json:"revision,omitempty"`
	HealthyRevision int64 `json:"healthyRevision,omitempty"`
	// DisruptionsAllowed is the least that any PodDisruptionBudget over the pods allows; nil where there is none.
	DisruptionsAllowed *int32 `json:"disruptionsAllowed,omitempty"`
	// Protected is true for the label writ.dev/protected, for kube-system, and for Writ's own objects.
	Protected bool `json:"protected,omitempty"`
	// ManagedBy names the tool that owns the object by its labels or annotations ("Helm", "argocd", "flux"), whatever it is.
	ManagedBy string `json:"managedBy,omitempty"`
	// Gone is true where the object does not exist any more: only predictions are ever judged on that.
	Gone bool `json:"gone,omitempty"`
	// Nodes are the cluster's, where the action takes one out of use; nil otherwise.
	Nodes *Nodes `json:"nodes,omitempty"`
	// State is what the action itself looks at, beyond the fields above, as JSON of its own making (Action.See).
	State json.RawMessage `json:"state,omitempty"`
}

// Nodes counts the nodes of a cluster: all, and those besides the target that take no new pods or are not ready.
type Nodes struct {
	All int `json:"all"`
	Out int `json:"out"`
}

// String is what was seen, in words.
func (f Facts) String() string {
	if f.State != nil {
		return string(f.State)
	}
	return fmt.Sprintf("%d/%d ready", f.ReadyReplicas, f.Replicas)
}

// FullyAvailable reports whether the newest generation has all of its pods, and none of an older revision is left.
func (f Facts) FullyAvailable() bool {
	return f.ObservedGeneration >= f.Generation && f.UpdatedReplicas == f.Replicas &&
		f.AvailableReplicas == f.Replicas && f.CurrentReplicas == f.Replicas
}
