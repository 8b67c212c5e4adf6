package worldtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Kubelet does in a namespace of an API server alone what the Jobs' controller and a kubelet do: it makes the pod of each Job, which the
// API server judges as any other, has words do what its container would, and writes down its last words and its exit code.
func Kubelet(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace string, words func(pod *corev1.Pod) (message string, code int32)) {
	t.Helper()
	t.Cleanup(func() {
		_ = client.CoreV1().Pods(namespace).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{})
	})
	jobs, err := client.BatchV1().Jobs(namespace).Watch(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	pods := client.CoreV1().Pods(namespace)
	go func() {
		for event := range jobs.ResultChan() {
			job, ok := event.Object.(*batchv1.Job)
			if !ok || event.Type != "ADDED" {
				continue
			}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: job.Name + "-", Labels: job.Spec.Template.Labels}, Spec: job.Spec.Template.Spec}
			pod, err := pods.Create(ctx, pod, metav1.CreateOptions{})
			if err != nil {
				t.Errorf("the API server does not take the pod: %v", err)
				continue
			}
			status := func(state corev1.ContainerState) bool {
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: state}}
				updated, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("the pod's status: %v", err)
					}
					return false
				}
				pod = updated
				return true
			}
			if !status(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}) {
				continue
			}
			message, code := words(pod)
			status(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message, ExitCode: code}})
		}
	}()
}
