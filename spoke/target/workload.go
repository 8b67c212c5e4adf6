package target

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/writ-dev/writ/api/catalogue"
)

// workload is a target as it was read. Of a kind that is no workload, only the metadata is taken apart.
type workload struct {
	kind    catalogue.Kind
	content map[string]any
	object
}

// object is the part of a Deployment, StatefulSet, DaemonSet or ReplicaSet that facts are made of. Each kind leaves the
// others' fields empty.
type object struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Replicas *int32                `json:"replicas"`
		Selector *metav1.LabelSelector `json:"selector"`
		Template struct {
			Metadata struct {
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
		} `json:"template"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
		Replicas           int32 `json:"replicas"`
		UpdatedReplicas    int32 `json:"updatedReplicas"`
		ReadyReplicas      int32 `json:"readyReplicas"`
		AvailableReplicas  int32 `json:"availableReplicas"`
		// Of a StatefulSet: names of ControllerRevisions.
		CurrentRevision string `json:"currentRevision"`
		UpdateRevision  string `json:"updateRevision"`
		// Of a DaemonSet.
		DesiredNumberScheduled int32 `json:"desiredNumberScheduled"`
		CurrentNumberScheduled int32 `json:"currentNumberScheduled"`
		UpdatedNumberScheduled int32 `json:"updatedNumberScheduled"`
		NumberReady            int32 `json:"numberReady"`
		NumberAvailable        int32 `json:"numberAvailable"`
	} `json:"status"`
}

func workloadOf(kind catalogue.Kind, content map[string]any) (*workload, error) {
	w := &workload{kind: kind, content: content}
	if slices.Contains(catalogue.Workloads(), kind) {
		return w, runtime.DefaultUnstructuredConverter.FromUnstructured(content, &w.object)
	}
	var plain struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"metadata": content["metadata"]}, &plain)
	w.ObjectMeta = plain.ObjectMeta
	return w, err
}

// facts are those that the object alone tells.
func (w *workload) facts() catalogue.Facts {
	f := catalogue.Facts{
		UID: string(w.UID), Generation: w.Generation, ObservedGeneration: w.Status.ObservedGeneration,
		Replicas: 1, UpdatedReplicas: w.Status.UpdatedReplicas, ReadyReplicas: w.Status.ReadyReplicas,
		AvailableReplicas: w.Status.AvailableReplicas, CurrentReplicas: w.Status.Replicas,
		Protected: w.protected(), ManagedBy: w.managedBy(),
	}
	if !slices.Contains(catalogue.Workloads(), w.kind) {
		f.Replicas = 0
	}
	if w.Spec.Replicas != nil {
		f.Replicas = *w.Spec.Replicas
	}
	switch w.kind {
	case catalogue.ReplicaSet: // all of its pods are of its one template
		f.UpdatedReplicas = w.Status.Replicas
	case catalogue.DaemonSet:
		f.Replicas, f.CurrentReplicas = w.Status.DesiredNumberScheduled, w.Status.CurrentNumberScheduled
		f.UpdatedReplicas = w.Status.UpdatedNumberScheduled
		f.ReadyReplicas, f.AvailableReplicas = w.Status.NumberReady, w.Status.NumberAvailable
	}
	return f
}

// ProtectedLabel marks an object that Writ must treat as protected, whatever its value, except "false".
const ProtectedLabel = "writ.dev/protected"

func (w *workload) protected() bool {
	switch w.Namespace {
	case "kube-system", "writ-system", "writ-actions":
		return true
	}
	if _, plane := w.Labels["node-role.kubernetes.io/control-plane"]; plane && w.kind.ClusterScoped {
		return true
	}
	value, labelled := w.Labels[ProtectedLabel]
	return labelled && value != "false"
}

// managedBy names the tool that will put the object back. GitOps comes first: it may well install by Helm. What a controller made has
// its labels from there, and is nobody's else.
func (w *workload) managedBy() string {
	if metav1.GetControllerOf(&w.ObjectMeta) != nil {
		return ""
	}
	for _, owner := range []struct{ prefix, name string }{
		{"argocd.argoproj.io/", catalogue.ArgoCD},
		{"kustomize.toolkit.fluxcd.io/", catalogue.Flux},
		{"helm.toolkit.fluxcd.io/", catalogue.Flux},
		{"meta.helm.sh/", catalogue.Helm},
	} {
		if hasPrefix(w.Labels, owner.prefix) || hasPrefix(w.Annotations, owner.prefix) {
			return owner.name
		}
	}
	return w.Labels["app.kubernetes.io/managed-by"]
}

func hasPrefix(values map[string]string, prefix string) bool {
	for key := range values {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// nameable reports whether a string can be one segment of a path of the API.
func nameable(name string) bool {
	return name != "" && len(content.IsPathSegmentName(name)) == 0
}
