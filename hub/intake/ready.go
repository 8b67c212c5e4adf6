package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// readyCondition says whether a policy or a template compiles.
const readyCondition = "Ready"

// tellReady writes to the status of each policy whether it is in force, where that is not written yet.
func (i *Intake) tellReady(ctx context.Context, list []v1alpha1.ActionPolicy) error {
	problems := i.policies.Policies().Problems()
	var faults []error
	for n := range list {
		p := &list[n]
		wanted := compiled(p.Generation, "it is in force", "it denies whatever it matches: ", problems[p.Name])
		faults = append(faults, i.tell(ctx, p, p.Status.Conditions, wanted, nil))
	}
	return errors.Join(faults...)
}

// tellTemplates writes to the status of each template whether it can be asked for, and its digest.
func (i *Intake) tellTemplates(ctx context.Context, list []v1alpha1.ActionTemplate) error {
	var faults []error
	for n := range list {
		t := &list[n]
		_, _, problem := i.templates.Template(t.Name)
		wanted := compiled(t.Generation, "it can be asked for, where a cluster's admin allows it", "nobody can ask for it: ", problem)
		status := map[string]any{}
		if d, err := t.Definition(); err == nil {
			status["digest"] = d.Digest()
		}
		faults = append(faults, i.tell(ctx, t, t.Status.Conditions, wanted, status))
	}
	return errors.Join(faults...)
}

// compiled is the condition of what compiles, or does not.
func compiled(generation int64, message, otherwise string, problem error) metav1.Condition {
	if problem != nil {
		return metav1.Condition{Type: readyCondition, Status: metav1.ConditionFalse, Reason: "DoesNotCompile",
			Message: refusal.OneLine(otherwise + problem.Error()), ObservedGeneration: generation}
	}
	return metav1.Condition{Type: readyCondition, Status: metav1.ConditionTrue, Reason: "Compiled", Message: message, ObservedGeneration: generation}
}

// tell writes a condition to an object's status, and the rest of the status with it, where it is not written yet.
func (i *Intake) tell(ctx context.Context, of client.Object, known []metav1.Condition, wanted metav1.Condition, status map[string]any) error {
	conditions := append([]metav1.Condition(nil), known...)
	if !meta.SetStatusCondition(&conditions, wanted) {
		return nil
	}
	if status == nil {
		status = map[string]any{}
	}
	status["conditions"] = conditions
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": of.GetUID()}, "status": status})
	if err != nil {
		return err
	}
	object, _ := of.DeepCopyObject().(client.Object)
	if err := i.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("status of %s: %w", of.GetName(), err)
	}
	return nil
}
