package signals_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/signals"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// needed is everything that a watcher asks of the API server. A right that is missing fails these tests.
var needed = []rbacv1.PolicyRule{
	{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list", "watch"}},
	{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"list"}},
	{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
}

// reports keeps what was reported, by namespace.
type reports struct {
	mu  sync.Mutex
	all []signal.Signal
}

func (r *reports) Report(_ context.Context, s signal.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
	return nil
}

func (r *reports) of(namespace string) (found []signal.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if s.Object.Namespace == namespace {
			found = append(found, s)
		}
	}
	return found
}

func (r *reports) await(t *testing.T, namespace string, count int) []signal.Signal {
	t.Helper()
	worldtest.Eventually(t, "signals", func(context.Context) error {
		if found := r.of(namespace); len(found) < count {
			return fmt.Errorf("%d of %d signals: %+v", len(found), count, found)
		}
		return nil
	})
	return r.of(namespace)
}

func spokeConfig(t *testing.T, c *cluster.Cluster, client *kubernetes.Clientset) *rest.Config {
	t.Helper()
	_, err := client.RbacV1().ClusterRoles().Create(t.Context(),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "spoke-watches"}, Rules: needed}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "spoke-watches"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "spoke-watches"},
		Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "spoke"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	path, err := c.KubeconfigFor("spoke", nil)
	require.NoError(t, err)
	config, err := cluster.LoadKubeconfig(path)
	require.NoError(t, err)
	return config
}

func deploy(t *testing.T, client *kubernetes.Clientset, namespace, image string, deadline int32) {
	t.Helper()
	replicas, labels := int32(3), map[string]string{"app": "web"}
	_, err := client.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, ProgressDeadlineSeconds: &deadline,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example/" + image}}}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func setImage(t *testing.T, client *kubernetes.Clientset, namespace, image string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"registry.example/%s"}]}}}}`, image)
	_, err := client.AppsV1().Deployments(namespace).Patch(t.Context(), "web", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

func healthy(t *testing.T, client *kubernetes.Clientset, namespace string) {
	t.Helper()
	worldtest.Eventually(t, "the rollout", func(ctx context.Context) error {
		d, err := client.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{})
		if err == nil && (d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas != 3 || d.Status.AvailableReplicas != 3) {
			return fmt.Errorf("status is %+v", d.Status)
		}
		return err
	})
}

func TestBrokenRolloutsAreSignalledOnce(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	client := worldtest.Client(t, c)
	heard := &reports{}
	w, err := signals.New(spokeConfig(t, c, client), heard, noop.NewTracerProvider().Tracer("test"), slog.Default(), time.Now)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})

	for name, want := range map[string]struct{ image, cause string }{
		"unpullable": {"web:does-not-exist", "ImagePullFailed"},
		"crashing":   {"web:crashloop", "ContainerCrashing"},
		"unready":    {"web:unready", "ProgressDeadlineExceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := worldtest.Namespace(t, c)
			deploy(t, client, namespace, "web:1", 8)
			healthy(t, client, namespace)
			require.Empty(t, heard.of(namespace), "a rollout that gets on is no signal")

			began := time.Now()
			setImage(t, client, namespace, want.image)
			first := heard.await(t, namespace, 1)[0]
			t.Logf("%s signalled %s after the change", want.cause, time.Since(began).Round(time.Millisecond))
			first.Cluster = "east"
			require.NoError(t, first.Validate(time.Now()))
			require.Equal(t, want.cause, first.Values["cause"])
			require.Equal(t, "2", first.Values["revision"])
			require.Equal(t, signal.Warning, first.Severity, "the old pods serve")
			require.NotEmpty(t, first.Traceparent)

			worldtest.Eventually(t, "the progress deadline", func(ctx context.Context) error {
				d, err := client.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{})
				for _, condition := range d.Status.Conditions {
					if condition.Reason == "ProgressDeadlineExceeded" {
						return nil
					}
				}
				return fmt.Errorf("status is %+v, %w", d.Status, err)
			})
			require.Len(t, heard.of(namespace), 1, "one trouble is one signal, the deadline too")

			setImage(t, client, namespace, "web:1")
			healthy(t, client, namespace)
			setImage(t, client, namespace, want.image)
			second := heard.await(t, namespace, 2)[1]
			require.NotEqual(t, first.Fingerprint, second.Fingerprint)
			require.NotEqual(t, first.Traceparent, second.Traceparent)
		})
	}
}

func TestTroubleThatIsThereBeforeTheSpokeIsSignalled(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	client := worldtest.Client(t, c)
	namespace := worldtest.Namespace(t, c)
	deploy(t, client, namespace, "web:unpullable", 600)
	var found []signal.Signal
	for range 2 { // a spoke that is restarted goes on with the same signal
		heard := &reports{}
		w, err := signals.New(c.RESTConfig(), heard, noop.NewTracerProvider().Tracer("test"), slog.Default(), time.Now)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = w.Run(ctx) }()
		found = append(found, heard.await(t, namespace, 1)...)
		cancel()
	}
	require.Equal(t, found[0].ID, found[1].ID)
	require.Equal(t, signal.Critical, found[0].Severity, "nothing serves")
}
