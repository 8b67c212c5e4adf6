package kind

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// worker asks for one scale after another of a Deployment of its own: from 2 to 3, and back.
type worker struct {
	*stage.Stage
	cluster    string
	deployment *appsv1.Deployment
	done, not  int // changes made; actions that were interrupted, and said so
}

func newWorker(ctx context.Context, s *stage.Stage, cluster, name string) (*worker, error) {
	d, _, err := s.Deploy(ctx, cluster, name, 2)
	return &worker{Stage: s, cluster: cluster, deployment: d}, err
}

// ask asks for the next scale.
func (w *worker) ask(ctx context.Context) (*v1alpha1.ActionRequest, error) {
	return w.Scale(ctx, w.cluster, w.deployment.Name, 5-*w.deployment.Spec.Replicas)
}

// settle holds what a request says at its end against what the cluster says: the change was made once, or not at all and said so.
func (w *worker) settle(ctx context.Context, r *v1alpha1.ActionRequest) error {
	var now appsv1.Deployment
	if err := w.Clusters[w.cluster].Client.Get(ctx, client.ObjectKeyFromObject(w.deployment), &now); err != nil {
		return err
	}
	changes := now.Generation - w.deployment.Generation
	w.deployment = &now
	switch {
	case r.Status.Phase == v1alpha1.PhaseSucceeded && changes == 1:
		w.done++
	case r.Status.Phase == v1alpha1.PhaseRefused && r.Status.Reason == string(refusal.Interrupted) && changes == 0:
		w.not++
	default:
		return fmt.Errorf("request %s ended as %s %s (%s), and %d changes were made", r.Name, r.Status.Phase, r.Status.Reason, r.Status.Message, changes)
	}
	return nil
}

func (w *worker) remove(ctx context.Context) error {
	return w.Clusters[w.cluster].Client.Delete(ctx, w.deployment)
}

func contains(text string, parts ...string) error {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return fmt.Errorf("%q is not in:\n%s", part, text)
		}
	}
	return nil
}

func isReady(p corev1.Pod) error {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is not ready: %+v", p.Name, p.Status.ContainerStatuses)
}
