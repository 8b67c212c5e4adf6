package cluster_test

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestADeploymentRollsOutFailsAndHeals(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	ns := worldtest.Namespace(t, c)
	client := worldtest.Client(t, c)
	deploy(t, client, ns, "web", "registry.example/web:1", 3)
	awaitDeployment(t, client, ns, "web", complete)

	setImage(t, client, ns, "web", "registry.example/web:does-not-exist")
	awaitDeployment(t, client, ns, "web", func(d *appsv1.Deployment) error {
		progressing := condition(d, appsv1.DeploymentProgressing)
		if progressing.Status != corev1.ConditionFalse || progressing.Reason != "ProgressDeadlineExceeded" {
			return fmt.Errorf("progressing is %s, %s", progressing.Status, progressing.Reason)
		}
		if d.Status.AvailableReplicas == 0 {
			return fmt.Errorf("the old pods are gone")
		}
		return nil
	})

	setImage(t, client, ns, "web", "registry.example/web:1")
	awaitDeployment(t, client, ns, "web", complete)
}

func TestImagesFailTheWayTheirNamesSay(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	ns := worldtest.Namespace(t, c)
	client := worldtest.Client(t, c)
	for image, want := range map[string]func(corev1.ContainerStatus) bool{
		"unpullable": func(s corev1.ContainerStatus) bool {
			return s.State.Waiting != nil && s.State.Waiting.Reason == "ImagePullBackOff"
		},
		"crashloop": func(s corev1.ContainerStatus) bool {
			return s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff" &&
				s.LastTerminationState.Terminated.ExitCode == 1 && s.RestartCount >= 2
		},
		"oomkilled": func(s corev1.ContainerStatus) bool {
			return s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.Reason == "OOMKilled"
		},
		"unready": func(s corev1.ContainerStatus) bool {
			return s.State.Running != nil && !s.Ready
		},
	} {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			deploy(t, client, ns, image, "registry.example/"+image+":1", 1)
			worldtest.Eventually(t, "the container to fail", func(ctx context.Context) error {
				pods, err := client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "app=" + image})
				if err != nil {
					return err
				}
				if len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) != 1 {
					return fmt.Errorf("%d pods, or no container status", len(pods.Items))
				}
				if status := pods.Items[0].Status.ContainerStatuses[0]; status.Ready || !want(status) {
					return fmt.Errorf("the container is %+v", status)
				}
				return nil
			})
		})
	}
}

func TestANodeGoesDownAndComesBack(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	client := worldtest.Client(t, c)
	name := c.Name() + "-node-2"
	for _, step := range []struct {
		label string
		want  corev1.ConditionStatus
	}{{`"true"`, corev1.ConditionFalse}, {"null", corev1.ConditionTrue}} {
		patch := `{"metadata":{"labels":{"world.writ.dev/not-ready":` + step.label + `}}}`
		if _, err := client.CoreV1().Nodes().Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		worldtest.Eventually(t, "the node's Ready to be "+string(step.want), func(ctx context.Context) error {
			node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == step.want {
					return nil
				}
			}
			return fmt.Errorf("conditions are %+v", node.Status.Conditions)
		})
	}
}

func deploy(t *testing.T, client *kubernetes.Clientset, ns, name, image string, replicas int32) {
	t.Helper()
	labels := map[string]string{"app": name}
	deadline := int32(3)
	_, err := client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas:                &replicas,
			ProgressDeadlineSeconds: &deadline,
			Selector:                &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func setImage(t *testing.T, client *kubernetes.Clientset, ns, name, image string) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q}]}}}}`, image)
	if _, err := client.AppsV1().Deployments(ns).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func awaitDeployment(t *testing.T, client *kubernetes.Clientset, ns, name string, want func(*appsv1.Deployment) error) {
	t.Helper()
	worldtest.Eventually(t, "the deployment", func(ctx context.Context) error {
		d, err := client.AppsV1().Deployments(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.ObservedGeneration != d.Generation {
			return fmt.Errorf("generation %d is not observed", d.Generation)
		}
		return want(d)
	})
}

func complete(d *appsv1.Deployment) error {
	if s := d.Status; s.ReadyReplicas != *d.Spec.Replicas || s.UpdatedReplicas != *d.Spec.Replicas || s.UnavailableReplicas != 0 {
		return fmt.Errorf("status is %+v", s)
	}
	return nil
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) appsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return appsv1.DeploymentCondition{}
}
