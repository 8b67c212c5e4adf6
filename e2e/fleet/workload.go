package fleet

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The images of the demo shop. No node runs them: the simulated nodes act out what a kubelet would say.
const (
	GoodImage = "registry.example/shop/checkout:1.4.2"
	BadImage  = "registry.example/shop/checkout:1.5.0-does-not-exist"
)

// Workloads is the administrator's client of a workload cluster.
func (f *Fleet) Workloads(name string) (client.Client, error) {
	return client.New(f.Clusters[name].RESTConfig(), client.Options{Scheme: f.Client.Scheme()})
}

// Deployment is a workload of somebody's own, in Namespace.
func Deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	deadline := int32(60)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, ProgressDeadlineSeconds: &deadline,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: GoodImage}}},
			},
		},
	}
}

// Ready waits until a Deployment has all of its pods, of its newest generation and with this image.
func Ready(ctx context.Context, c client.Client, name, image string) error {
	for {
		var d appsv1.Deployment
		err := c.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, &d)
		s := d.Status
		if err == nil && s.ObservedGeneration == d.Generation && s.AvailableReplicas == *d.Spec.Replicas && s.UpdatedReplicas == *d.Spec.Replicas &&
			s.Replicas == *d.Spec.Replicas && d.Spec.Template.Spec.Containers[0].Image == image {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deployment %s: %w; %d of its pods are available", name, ctx.Err(), s.AvailableReplicas)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// SetImage rolls a Deployment out to another image, as kubectl set image does.
func SetImage(ctx context.Context, c client.Client, name, image string) error {
	var d appsv1.Deployment
	if err := c.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, &d); err != nil {
		return err
	}
	before := d.DeepCopy()
	d.Spec.Template.Spec.Containers[0].Image = image
	return c.Patch(ctx, &d, client.MergeFrom(before))
}
