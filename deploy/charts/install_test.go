package charts_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// Both charts into one cluster, with all values files of ci/, as kubectl apply --server-side would: the API server knows
// every field, and takes the pods in a namespace that enforces Pod Security "restricted".
func TestAClusterTakesTheCharts(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Name: "charts", Controllers: true})
	client := worldtest.Client(t, c)
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	for _, chart := range []string{charts.Hub, charts.Spoke} {
		files, err := filepath.Glob(filepath.Join(chart, "ci", "*.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			t.Run(file, func(t *testing.T) {
				values, err := os.ReadFile(file)
				require.NoError(t, err)
				o := render.Options{Chart: chart, Values: [][]byte{values}, Set: []string{"namespace.create=true"}}
				raw, err := render.Render(t.Context(), o)
				require.NoError(t, err)
				err = client.AppsV1().StatefulSets("writ-system").Delete(t.Context(), chart, metav1.DeleteOptions{}) // its storage cannot be changed
				require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
				require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), raw))
				requireTakesPods(t, client, parse(t, raw))
				o.Tests = true
				tests, err := render.Render(t.Context(), o)
				require.NoError(t, err)
				requireTakesPods(t, client, parse(t, tests))
			})
		}
	}
}

// requireTakesPods has the API server judge the pods that the objects would make, and the same pods with a little more.
func requireTakesPods(t *testing.T, client *kubernetes.Clientset, objects []*unstructured.Unstructured) {
	t.Helper()
	pods := 0
	for _, o := range objects {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), GenerateName: "dry-"}}
		switch o.GetKind() {
		case "StatefulSet":
			template, _, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
			require.NoError(t, err)
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(template, &pod.Spec))
			pod.Spec.Volumes = append(claims(t, o), pod.Spec.Volumes...)
		case "Pod":
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object["spec"].(map[string]any), &pod.Spec))
		default:
			continue
		}
		pods++
		worldtest.Eventually(t, "the pod of "+key(o)+" to be taken", createDry(client, pod)) // its ServiceAccount and quota settle
		for why, spoil := range map[string]func(*corev1.Container){
			"runAsNonRoot":             func(c *corev1.Container) { c.SecurityContext.RunAsNonRoot = new(bool) },
			"allowPrivilegeEscalation": func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil },
			"unrestricted capabilities": func(c *corev1.Container) {
				c.SecurityContext.Capabilities.Add = append(c.SecurityContext.Capabilities.Add, "NET_ADMIN")
			},
		} {
			worse := pod.DeepCopy()
			spoil(&worse.Spec.Containers[0])
			require.ErrorContains(t, createDry(client, worse)(t.Context()), why, "Pod Security is not enforced")
		}
		for _, container := range pod.Spec.Containers {
			require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
			require.NotEmpty(t, container.Resources.Limits.Memory().String())
		}
	}
	require.NotZero(t, pods)
	left, err := client.CoreV1().Pods("writ-system").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, pod := range left.Items {
		require.False(t, strings.HasPrefix(pod.Name, "dry-"))
	}
}

// claims are the volumes that the StatefulSet's controller would add.
func claims(t *testing.T, o *unstructured.Unstructured) (volumes []corev1.Volume) {
	t.Helper()
	templates, _, err := unstructured.NestedSlice(o.Object, "spec", "volumeClaimTemplates")
	require.NoError(t, err)
	for _, template := range templates {
		name, _, err := unstructured.NestedString(template.(map[string]any), "metadata", "name")
		require.NoError(t, err)
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
	}
	return volumes
}

func createDry(client *kubernetes.Clientset, pod *corev1.Pod) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.CoreV1().Pods(pod.Namespace).Create(ctx, pod.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
}
