package target

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/writ-dev/writ/api/catalogue"
)

// Facts reads what an action on the target is judged on. ErrNotFound where there is no such target.
//
// Revisions are left 0 while the cluster's controller has not yet seen the newest generation: what it wrote then is about
// the one before.
func (r *Reader) Facts(ctx context.Context, t catalogue.Target) (catalogue.Facts, error) {
	w, err := r.get(ctx, t)
	if err != nil {
		return catalogue.Facts{}, err
	}
	facts := w.facts()
	reads, ctx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) {
		facts.DisruptionsAllowed, err = r.disruptionsAllowed(ctx, w)
		return err
	})
	reads.Go(func() error {
		if facts.ObservedGeneration < facts.Generation {
			return nil
		}
		history, err := r.history(ctx, w)
		facts.Revision, facts.HealthyRevision = inForce(w, history)
		return err
	})
	if err := reads.Wait(); err != nil {
		return catalogue.Facts{}, fmt.Errorf("%s: %w", t, err)
	}
	return facts, nil
}

var disruptionBudgets = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}

type disruptionBudget struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector *metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
		DisruptionsAllowed int32 `json:"disruptionsAllowed"`
	} `json:"status"`
}

func (r *Reader) disruptionsAllowed(ctx context.Context, w *workload) (*int32, error) {
	budgets, err := list[disruptionBudget](ctx, r, disruptionBudgets, w.Namespace, "")
	if err != nil {
		return nil, err
	}
	return leastAllowed(budgets, w.Spec.Template.Metadata.Labels)
}

// leastAllowed is the least that any budget over pods with these labels allows; nil where there is none. A budget that its
// controller has not yet looked at allows nothing.
func leastAllowed(budgets []disruptionBudget, pod map[string]string) (*int32, error) {
	var least *int32
	for _, budget := range budgets {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err != nil {
			return nil, fmt.Errorf("selector of PodDisruptionBudget %s: %w", budget.Name, err)
		}
		if !selector.Matches(labels.Set(pod)) {
			continue
		}
		allowed := budget.Status.DisruptionsAllowed
		if budget.Status.ObservedGeneration < budget.Generation {
			allowed = 0
		}
		if least == nil || allowed < *least {
			least = &allowed
		}
	}
	return least, nil
}
