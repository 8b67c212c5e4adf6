package target

import (
	"context"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/writ-dev/writ/api/catalogue"
)

var controllerRevisions = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "controllerrevisions"}

// revisionAnnotation is where the Deployment controller writes the revision, on the Deployment and on its ReplicaSets.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// revision is one object of a workload's history: a ReplicaSet of a Deployment, else a ControllerRevision.
type revision struct {
	metav1.ObjectMeta `json:"metadata"`
	Revision          int64 `json:"revision"` // of a ControllerRevision
	Status            struct {
		AvailableReplicas int32 `json:"availableReplicas"` // of a ReplicaSet
	} `json:"status"`
}

// number is the revision's; 0 where its controller has not given it one.
func (r revision) number() int64 {
	if r.Revision != 0 {
		return r.Revision
	}
	return annotated(r.ObjectMeta)
}

func annotated(meta metav1.ObjectMeta) int64 {
	number, err := strconv.ParseInt(meta.Annotations[revisionAnnotation], 10, 64)
	if err != nil || number < 0 {
		return 0
	}
	return number
}

// history lists the revisions that the workload controls. A ReplicaSet has none.
func (r *Reader) history(ctx context.Context, w *workload) ([]revision, error) {
	resource := controllerRevisions
	switch w.kind {
	case catalogue.ReplicaSet:
		return nil, nil
	case catalogue.Deployment:
		resource = resourceOf(catalogue.ReplicaSet)
	}
	selector, err := metav1.LabelSelectorAsSelector(w.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	all, err := list[revision](ctx, r, resource, w.Namespace, selector.String())
	if err != nil {
		return nil, err
	}
	return controlled(all, w.UID), nil
}

func controlled(all []revision, by types.UID) []revision {
	var own []revision
	for _, one := range all {
		if owner := metav1.GetControllerOfNoCopy(&one); owner != nil && owner.UID == by {
			own = append(own, one)
		}
	}
	return own
}

// inForce finds the revision that the newest template has, and the one to go back to.
func inForce(w *workload, history []revision) (current, healthy int64) {
	switch w.kind {
	case catalogue.Deployment:
		current = annotated(w.ObjectMeta)
		return current, lastHealthy(history, current, func(r revision) bool { return r.Status.AvailableReplicas > 0 })
	case catalogue.StatefulSet:
		for _, one := range history {
			if one.Name == w.Status.UpdateRevision {
				current = one.number()
			}
		}
		// While it rolls, status.currentRevision is the one that was complete before.
		return current, lastHealthy(history, current, func(r revision) bool { return r.Name == w.Status.CurrentRevision })
	case catalogue.DaemonSet: // its controller gives the one in force the highest number
		for _, one := range history {
			current = max(current, one.number())
		}
		return current, lastHealthy(history, current, func(revision) bool { return false })
	}
	return 0, 0
}

// lastHealthy is the newest other revision that is known to be healthy, or else the highest below the current; 0 where
// there is none.
func lastHealthy(history []revision, current int64, healthy func(revision) bool) int64 {
	var known, below int64
	for _, one := range history {
		number := one.number()
		if number == 0 || number == current {
			continue
		}
		if healthy(one) {
			known = max(known, number)
		}
		if number < current {
			below = max(below, number)
		}
	}
	if known != 0 {
		return known
	}
	return below
}
