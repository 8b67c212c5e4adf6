package stage

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/internal/apply"
)

// VerifyAudit checks the hub's audit log with the command line's image, beside the hub and without it, and returns what it said.
// It fails where something was found.
func (s *Stage) VerifyAudit(ctx context.Context) (string, error) {
	hub := s.Clusters[Hub]
	clientset, err := kubernetes.NewForConfig(hub.Config)
	if err != nil {
		return "", err
	}
	pods := clientset.CoreV1().Pods(Namespace)
	defer func() {
		_ = pods.Delete(context.WithoutCancel(ctx), "writ-audit", metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	}()
	manifest := strings.ReplaceAll(string(s.object("audit.yaml")), "IMAGE", "writ-dev/writ:"+s.Tag)
	if err := apply.YAML(ctx, hub.Config, []byte(manifest)); err != nil {
		return "", err
	}
	var pod corev1.Pod
	err = Await(ctx, "the pod writ-audit", time.Minute, func(ctx context.Context) error {
		err := hub.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "writ-audit"}, &pod)
		if err == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	stream, err := pods.GetLogs("writ-audit", &corev1.PodLogOptions{}).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	said, err := io.ReadAll(io.LimitReader(stream, 1<<20))
	if err == nil && pod.Status.Phase != corev1.PodSucceeded {
		err = fmt.Errorf("writ audit verify: %s", said)
	}
	return string(said), err
}

// Said is the end of what a program of ours said, for those who look into a failure.
func (s *Stage) Said(ctx context.Context, cluster string, previous bool) string {
	pod := releaseSpoke + "-0"
	if cluster == Hub {
		pod = releaseHub + "-0"
	}
	clientset, err := kubernetes.NewForConfig(s.Clusters[cluster].Config)
	if err != nil {
		return err.Error()
	}
	lines := int64(40)
	raw, err := clientset.CoreV1().Pods(Namespace).GetLogs(pod, &corev1.PodLogOptions{TailLines: &lines, Previous: previous}).DoRaw(ctx)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
