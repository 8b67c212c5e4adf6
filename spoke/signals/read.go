package signals

import (
	"context"
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	podsOf      = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	templateHash       = "pod-template-hash"
	// podsJudged is how many pods of a revision are looked at: they are all made of one template.
	podsJudged = 20
)

// deploymentObject is the part of a Deployment that is judged.
type deploymentObject struct {
	Metadata struct {
		Namespace   string            `json:"namespace"`
		Name        string            `json:"name"`
		UID         string            `json:"uid"`
		Generation  int64             `json:"generation"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Replicas                *int32                `json:"replicas"`
		Paused                  bool                  `json:"paused"`
		ProgressDeadlineSeconds *int32                `json:"progressDeadlineSeconds"`
		Selector                *metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
		Replicas           int32 `json:"replicas"`
		UpdatedReplicas    int32 `json:"updatedReplicas"`
		AvailableReplicas  int32 `json:"availableReplicas"`
		Conditions         []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"conditions"`
	} `json:"status"`
}

// seen is a Deployment and how to find its pods.
type seen struct {
	Deployment
	selector labels.Selector
}

func seenOf(content map[string]any) (seen, error) {
	var o deploymentObject
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &o); err != nil {
		return seen{}, err
	}
	selector, err := metav1.LabelSelectorAsSelector(o.Spec.Selector)
	if err != nil {
		return seen{}, err
	}
	d := Deployment{
		Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, UID: o.Metadata.UID,
		Generation: o.Metadata.Generation, ObservedGeneration: o.Status.ObservedGeneration,
		Revision: o.Metadata.Annotations[revisionAnnotation], Paused: o.Spec.Paused, Replicas: 1,
		Updated: o.Status.UpdatedReplicas, Available: o.Status.AvailableReplicas, Current: o.Status.Replicas,
	}
	if o.Spec.Replicas != nil {
		d.Replicas = *o.Spec.Replicas
	}
	if deadline := o.Spec.ProgressDeadlineSeconds; deadline != nil && *deadline < math.MaxInt32 { // which is Kubernetes' "none"
		d.Deadline = time.Duration(*deadline) * time.Second
	}
	for _, c := range o.Status.Conditions {
		if c.Type == "Progressing" {
			d.ProgressingStatus, d.ProgressingReason = c.Status, c.Reason
		}
	}
	return seen{d, selector}, nil
}

// podObject is the part of a pod that is judged.
type podObject struct {
	Status struct {
		InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
		ContainerStatuses     []containerStatus `json:"containerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	Image string `json:"image"`
	State struct {
		Waiting *struct {
			Reason  string `json:"reason"`
			Message string `json:"message"`
		} `json:"waiting"`
	} `json:"state"`
}

func (p podObject) waiting() (all []Waiting) {
	for _, status := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if status.State.Waiting != nil {
			all = append(all, Waiting{status.State.Waiting.Reason, status.Image, status.State.Waiting.Message})
		}
	}
	return all
}

// waiting reads how the pods of the newest revision wait.
func (w *Watcher) waiting(ctx context.Context, d seen) ([]Waiting, error) {
	hash, err := w.newestTemplate(ctx, d)
	if err != nil || hash == "" {
		return nil, err
	}
	found, err := w.client.Resource(podsOf).Namespace(d.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{templateHash: hash}.String(), Limit: podsJudged})
	if err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	var all []Waiting
	for i := range found.Items {
		var pod podObject
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Items[i].Object, &pod); err != nil {
			return nil, fmt.Errorf("pod %s: %w", found.Items[i].GetName(), err)
		}
		all = append(all, pod.waiting()...)
	}
	return all, nil
}

// newestTemplate is the hash that the pods of the Deployment's newest revision are labelled with; empty where there is no
// such revision yet.
func (w *Watcher) newestTemplate(ctx context.Context, d seen) (string, error) {
	options := metav1.ListOptions{LabelSelector: d.selector.String(), Limit: page}
	for {
		found, err := w.client.Resource(replicaSets).Namespace(d.Namespace).List(ctx, options)
		if err != nil {
			return "", fmt.Errorf("replicasets: %w", err)
		}
		for i := range found.Items {
			set := &found.Items[i]
			owner := metav1.GetControllerOf(set)
			if owner != nil && string(owner.UID) == d.UID && set.GetAnnotations()[revisionAnnotation] == d.Revision {
				return set.GetLabels()[templateHash], nil
			}
		}
		if options.Continue = found.GetContinue(); options.Continue == "" {
			return "", nil
		}
	}
}
