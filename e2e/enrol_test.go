package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/world/cluster"
)

// said is what a command printed, once it has ended.
type said struct {
	out string
	err error
}

// A cluster is registered by one command, which installs the spoke and ends with the cluster ready; here the test is the kubelet, and
// starts the real spoke with what the command put into the cluster. Then the spoke loses its journal, and comes back by one command.
func TestOneCommandRegistersAClusterAndAnotherLetsItRejoin(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	north, err := cluster.Start(ctx, cluster.Options{Name: "north", Dir: filepath.Join(t.TempDir(), "north"), Workloads: true, Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(north.Stop)
	f.Clusters["north"] = north
	c, err := f.Workloads("north")
	require.NoError(t, err)
	values := filepath.Join(t.TempDir(), "values.yaml")
	require.NoError(t, os.WriteFile(values, []byte("actions: {namespaces: [shop], allowed: [scale]}\nlocalPolicy: {rules: [{actions: [scale], namespaces: [shop]}]}\nimage: {tag: v0}\n"), 0o600))
	register := []string{"cluster", "register", "north", "--workload", north.Kubeconfig(), "--values", values, "--accept=manual", "--timeout=1m"}

	_, err = f.Writ(ctx, register...)
	require.ErrorContains(t, err, "there is no namespace shop in this cluster")
	require.True(t, client.IgnoreNotFound(f.Client.Get(ctx, client.ObjectKey{Name: "north"}, &v1alpha1.Cluster{})) == nil && f.Client.Get(ctx, client.ObjectKey{Name: "north"}, &v1alpha1.Cluster{}) != nil, "the hub was not told")
	require.NoError(t, c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fleet.Namespace}}))

	ended := run(ctx, f, register...)
	giveJoinFile(ctx, t, f, c, "north")
	require.NoError(t, f.Configure(ctx, "north"))
	_, err = f.LaunchSpoke("north")
	require.NoError(t, err)
	done := <-ended
	require.NoError(t, done.err, done.out)
	require.Contains(t, done.out, "waits\nnext: writ cluster accept north")
	var object v1alpha1.Cluster
	require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Name: "north"}, &object))
	require.Equal(t, v1alpha1.ClusterPending, object.Status.Phase)
	raw, err := os.ReadFile(f.LogOf("writ-spoke-north"))
	require.NoError(t, err)
	require.Contains(t, string(raw), object.Status.ReceiptKey, "the spoke says it too, so that people can compare")
	_, err = f.Writ(ctx, "cluster", "accept", "north", "--yes", "--key", strings.Repeat("0", 64))
	require.ErrorContains(t, err, "another receipt key")
	_, err = f.Writ(ctx, "cluster", "accept", "north", "--yes", "--key", object.Status.ReceiptKey)
	require.NoError(t, err)
	ready(ctx, t, f, "north", 1)
	_, err = f.Writ(ctx, register...)
	require.ErrorContains(t, err, "a spoke is installed in this cluster already")

	// It loses its journal: it does not start, and is let in anew.
	f.KillSpoke("north")
	require.NoError(t, os.RemoveAll(filepath.Join(f.StateDir("north"), "journal")))
	require.NoError(t, os.Remove(f.JoinFile("north")))
	p, err := f.LaunchSpoke("north")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.Failure() != nil }, 20*time.Second, 20*time.Millisecond, "it must not begin from zero")
	require.NoError(t, c.Delete(ctx, deployspoke.JoinSecret(nil)))
	ended = run(ctx, f, "cluster", "rejoin", "north", "--yes", "--timeout=1m", "--workload", north.Kubeconfig())
	giveJoinFile(ctx, t, f, c, "north")
	require.NoError(t, f.GiveAccountToken(ctx, "north"))
	_, err = f.LaunchSpoke("north")
	require.NoError(t, err)
	done = <-ended
	require.NoError(t, done.err, done.out)
	require.Contains(t, done.out, "waits\nnext: writ cluster accept north", "by hand, as before")
	_, err = f.Writ(ctx, "cluster", "accept", "north", "--yes")
	require.NoError(t, err)
	ready(ctx, t, f, "north", 2)
	out, err := f.Writ(ctx, "audit", "verify")
	require.NoError(t, err)
	require.Contains(t, out, "nothing was found")

	out, err = f.Writ(ctx, "cluster", "remove", "north", "--yes", "--workload", north.Kubeconfig())
	require.NoError(t, err)
	require.Contains(t, out, "vault was not asked")
	require.Contains(t, out, "its rights and its namespaces are deleted in the cluster")
	var roles rbacv1.ClusterRoleList
	require.NoError(t, c.List(ctx, &roles))
	for _, role := range roles.Items {
		require.NotContains(t, role.Name, "writ")
	}
	require.NoError(t, c.Get(ctx, client.ObjectKey{Name: fleet.Namespace}, &corev1.Namespace{}), "what is not Writ's stays")
	var fences admissionv1.ValidatingAdmissionPolicyList
	require.NoError(t, c.List(ctx, &fences))
	for _, fence := range fences.Items {
		require.NotContains(t, fence.Name, "writ")
	}
}

// run runs a command beside the test.
func run(ctx context.Context, f *fleet.Fleet, args ...string) <-chan said {
	ended := make(chan said, 1)
	go func() {
		out, err := f.Writ(ctx, args...)
		ended <- said{out, err}
	}()
	return ended
}

// giveJoinFile does what the kubelet does with the Secret.
func giveJoinFile(ctx context.Context, t *testing.T, f *fleet.Fleet, c client.Client, name string) {
	t.Helper()
	var secret corev1.Secret
	require.Eventually(t, func() bool {
		return c.Get(ctx, client.ObjectKeyFromObject(deployspoke.JoinSecret(nil)), &secret) == nil
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, os.WriteFile(f.JoinFile(name), secret.Data["join.yaml"], 0o600))
	require.Eventually(t, func() bool {
		return c.Get(ctx, client.ObjectKey{Namespace: deployspoke.SystemNamespace, Name: deployspoke.SpokeAccount}, &corev1.ServiceAccount{}) == nil
	}, 30*time.Second, 20*time.Millisecond)
}

// ready waits until a cluster is ready in an epoch, and looks at what the hub says of it.
func ready(ctx context.Context, t *testing.T, f *fleet.Fleet, name string, epoch int64) {
	t.Helper()
	var object v1alpha1.Cluster
	require.Eventually(t, func() bool {
		err := f.Client.Get(ctx, client.ObjectKey{Name: name}, &object)
		return err == nil && isTrue(&object, v1alpha1.ClusterReady) && object.Status.Epoch == epoch
	}, 30*time.Second, 50*time.Millisecond, "%+v", object.Status)
	require.True(t, isTrue(&object, v1alpha1.ClusterAccepted))
	require.True(t, isTrue(&object, v1alpha1.ClusterEnrolled))
	require.Regexp(t, `^v1\.\d+`, object.Status.KubernetesVersion)
	require.Positive(t, object.Status.Nodes)
	require.NotNil(t, object.Status.SVIDExpires)
}

func isTrue(object *v1alpha1.Cluster, kind string) bool {
	for _, condition := range object.Status.Conditions {
		if condition.Type == kind {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}
