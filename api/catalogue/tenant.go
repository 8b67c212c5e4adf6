package catalogue

import (
	"slices"
	"strings"
)

// tenant is a pod on a node.
type tenant struct {
	Metadata struct {
		UID               string            `json:"uid"`
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
		OwnerReferences   []struct {
			ref
			Controller bool `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		GraceSeconds *int64 `json:"terminationGracePeriodSeconds"`
		Volumes      []struct {
			EmptyDir *struct{} `json:"emptyDir"`
		} `json:"volumes"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// mirrored marks the pod by which the API server shows what a node runs by itself.
const mirrored = "kubernetes.io/config.mirror"

// ownNamespaces are Writ's: admission lets no action end a pod there.
var ownNamespaces = []string{"writ-system", "writ-actions", "writ-sandbox"}

// owner is its controller; the zero value where it has none.
func (t tenant) owner() ref {
	for _, o := range t.Metadata.OwnerReferences {
		if o.Controller {
			return o.ref
		}
	}
	return ref{}
}

// stays reports whether a drain leaves the pod alone: its DaemonSet or its node would make it anew on the same node, it has ended, or it
// is Writ's.
func (t tenant) stays() bool {
	_, static := t.Metadata.Annotations[mirrored]
	return static || t.owner().Kind == DaemonSet.Kind || t.Status.Phase == "Succeeded" || t.Status.Phase == "Failed" ||
		slices.Contains(ownNamespaces, t.Metadata.Namespace)
}

// keeps reports whether it has data that ends with it.
func (t tenant) keeps() bool {
	for _, v := range t.Spec.Volumes {
		if v.EmptyDir != nil {
			return true
		}
	}
	return false
}

// of names what the pod is one of: its controller, or itself.
func (t tenant) of() string {
	owner := t.owner()
	if owner == (ref{}) {
		owner = ref{Kind: Pod.Kind, Name: t.Metadata.Name}
	}
	return strings.ToLower(owner.Kind) + "/" + t.Metadata.Namespace + "/" + owner.Name
}

// eviction ends this very pod, as its budgets allow.
func (t tenant) eviction(p drainParameters) Change {
	options := deleteOptions{GracePeriodSeconds: p.GraceSeconds, Preconditions: map[string]string{"uid": t.Metadata.UID}}
	return Change{Verb: Create, Kind: Pod, Namespace: t.Metadata.Namespace, Name: t.Metadata.Name, Subresource: "eviction", Says: "evict " + t.of(),
		Body: encode(map[string]any{"apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
			"metadata": map[string]string{"name": t.Metadata.Name, "namespace": t.Metadata.Namespace}})}
}
