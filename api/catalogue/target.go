package catalogue

import "strings"

// Target names the one object that an action touches. UID is empty in what people ask for and always set in an order.
type Target struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

// String reads like kubectl's names: "deployment/shop/checkout".
func (t Target) String() string {
	return strings.ToLower(t.Kind) + "/" + t.Namespace + "/" + t.Name
}

// Kind is a kind that an action can be asked for, with the resource by which the API server knows it.
type Kind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Resource   string `json:"resource"`
}

// Group is the API group, empty for the core group.
func (k Kind) Group() string {
	group, _, found := strings.Cut(k.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// The workload kinds of the catalogue.
var (
	Deployment  = Kind{"apps/v1", "Deployment", "deployments"}
	StatefulSet = Kind{"apps/v1", "StatefulSet", "statefulsets"}
	DaemonSet   = Kind{"apps/v1", "DaemonSet", "daemonsets"}
	ReplicaSet  = Kind{"apps/v1", "ReplicaSet", "replicasets"}
)

// Workloads lists every kind that a spoke must be able to read facts about.
func Workloads() []Kind { return []Kind{Deployment, StatefulSet, DaemonSet, ReplicaSet} }

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
	// ManagedBy names the tool that owns the object by its labels or annotations ("Helm", "argocd", "flux").
	ManagedBy string `json:"managedBy,omitempty"`
}

// FullyAvailable reports whether the newest generation has all of its pods, and none of an older revision is left.
func (f Facts) FullyAvailable() bool {
	return f.ObservedGeneration >= f.Generation && f.UpdatedReplicas == f.Replicas &&
		f.AvailableReplicas == f.Replicas && f.CurrentReplicas == f.Replicas
}
