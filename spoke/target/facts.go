package target

import (
	"context"
	"fmt"
	"slices"

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
	w, err := r.get(ctx, catalogue.Kinds(), t)
	if err != nil {
		return catalogue.Facts{}, err
	}
	return r.factsOf(ctx, w)
}

// factsOf adds to what the object tells what a workload's surroundings tell.
func (r *Reader) factsOf(ctx context.Context, w *workload) (catalogue.Facts, error) {
	facts := w.facts()
	if !slices.Contains(catalogue.Workloads(), w.kind) {
		return facts, nil
	}
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
		return catalogue.Facts{}, fmt.Errorf("%s: %w", w.Name, err)
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

type node struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// nodes counts the cluster's nodes, and those besides the one that take no new pods or are not ready.
func (r *Reader) nodes(ctx context.Context, besides string) (*catalogue.Nodes, error) {
	all, err := list[node](ctx, r, resourceOf(catalogue.Node), "", "")
	return out(all, besides), err
}

func out(all []node, besides string) *catalogue.Nodes {
	counted := &catalogue.Nodes{All: len(all)}
	for _, n := range all {
		ready := false
		for _, c := range n.Status.Conditions {
			ready = ready || c.Type == "Ready" && c.Status == "True"
		}
		if n.Name != besides && (n.Spec.Unschedulable || !ready) {
			counted.Out++
		}
	}
	return counted
}
