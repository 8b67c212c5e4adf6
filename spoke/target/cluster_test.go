package target_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/target"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// needed is everything that a reader asks of the API server. A right that is missing fails these tests.
var needed = []rbacv1.PolicyRule{
	{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets", "replicasets"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{"apps"}, Resources: []string{"controllerrevisions"}, Verbs: []string{"list"}},
	{APIGroups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: []string{"list"}},
	{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}, ResourceNames: []string{"kube-system"}},
}

type scene struct {
	client    *kubernetes.Clientset
	reader    *target.Reader
	namespace string
}

func newScene(t *testing.T) scene {
	t.Helper()
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	client := worldtest.Client(t, c)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "spoke-reads"}, Rules: needed}
	_, err := client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	require.True(t, err == nil || apierrors.IsAlreadyExists(err), "%v", err)
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "spoke-reads"},
		RoleRef:  rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "spoke-reads"},
		Subjects: []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "spoke"}}}
	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{})
	require.True(t, err == nil || apierrors.IsAlreadyExists(err), "%v", err)
	path, err := c.KubeconfigFor("spoke", nil)
	require.NoError(t, err)
	config, err := cluster.LoadKubeconfig(path)
	require.NoError(t, err)
	reader, err := target.New(config)
	require.NoError(t, err)
	return scene{client, reader, worldtest.Namespace(t, c)}
}

func (s scene) target(kind, name string) catalogue.Target {
	return catalogue.Target{APIVersion: "apps/v1", Kind: kind, Namespace: s.namespace, Name: name}
}

// eventually waits for facts that want accepts, and returns them.
func (s scene) eventually(t *testing.T, of catalogue.Target, want func(catalogue.Facts) bool) (facts catalogue.Facts) {
	t.Helper()
	worldtest.Eventually(t, "facts of "+of.String(), func(ctx context.Context) (err error) {
		facts, err = s.reader.Facts(ctx, of)
		if err == nil && !want(facts) {
			return fmt.Errorf("facts are %+v", facts)
		}
		return err
	})
	return facts
}

// orderOn is one of an action that sees nothing but the facts.
func orderOn(of catalogue.Target, p catalogue.Prediction) bundle.Order {
	return bundle.Order{ID: "order-1", Action: "rollout-restart", Target: of, Prediction: p}
}

var pods = map[string]string{"app": "web"}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pods},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
}

func (s scene) deployment(t *testing.T, name string, replicas int32) catalogue.Target {
	t.Helper()
	_, err := s.client.AppsV1().Deployments(s.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: pods},
			Template: template("registry.example/web:1")},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return s.target("Deployment", name)
}

func image(name string) []byte {
	return fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"registry.example/web:%s"}]}}}}`, name)
}

func (s scene) patchDeployment(t *testing.T, patch []byte, manager string) {
	t.Helper()
	_, err := s.client.AppsV1().Deployments(s.namespace).Patch(t.Context(), "web", types.StrategicMergePatchType, patch,
		metav1.PatchOptions{FieldManager: manager})
	require.NoError(t, err)
}

func TestFactsOfADeploymentThroughTwoBrokenRollouts(t *testing.T) {
	s := newScene(t)
	one := intstr.FromInt32(2)
	_, err := s.client.PolicyV1().PodDisruptionBudgets(s.namespace).Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: pods}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	web := s.deployment(t, "web", 3)
	facts := s.eventually(t, web, func(f catalogue.Facts) bool {
		return f.FullyAvailable() && f.DisruptionsAllowed != nil && *f.DisruptionsAllowed == 1
	})
	require.NotEmpty(t, facts.UID)
	require.EqualValues(t, 3, facts.ReadyReplicas)
	require.EqualValues(t, 1, facts.Revision)
	require.EqualValues(t, 0, facts.HealthyRevision)
	require.Equal(t, "Helm", facts.ManagedBy)
	require.False(t, facts.Protected)

	for i, broken := range []string{"does-not-exist", "unpullable"} {
		s.patchDeployment(t, image(broken), "test")
		facts = s.eventually(t, web, func(f catalogue.Facts) bool { return f.Revision == int64(i+2) && f.UpdatedReplicas > 0 })
		require.False(t, facts.FullyAvailable())
		require.EqualValues(t, 1, facts.HealthyRevision, "the one that still serves")
	}
	s.patchDeployment(t, []byte(`{"metadata":{"labels":{"writ.dev/protected":"true"}}}`), "test")
	s.eventually(t, web, func(f catalogue.Facts) bool { return f.Protected })

	other := web
	other.UID = "another"
	_, err = s.reader.Facts(t.Context(), other)
	require.ErrorIs(t, err, target.ErrNotFound)
	_, err = s.reader.Facts(t.Context(), s.target("Deployment", "nothing"))
	require.ErrorIs(t, err, target.ErrNotFound)
}

func TestFactsOfTheOtherWorkloads(t *testing.T) {
	s := newScene(t)
	replicas := int32(2)
	selector := &metav1.LabelSelector{MatchLabels: pods}
	apps := s.client.AppsV1()
	_, err := apps.StatefulSets(s.namespace).Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: selector, Template: template("registry.example/web:1")}},
		metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = apps.DaemonSets(s.namespace).Create(t.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template("registry.example/web:1")}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = apps.ReplicaSets(s.namespace).Create(t.Context(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: selector, Template: template("registry.example/web:1")}},
		metav1.CreateOptions{})
	require.NoError(t, err)

	set, daemon, replicaSet := s.target("StatefulSet", "web"), s.target("DaemonSet", "web"), s.target("ReplicaSet", "web")
	complete := func(f catalogue.Facts) bool { return f.Replicas == 2 && f.FullyAvailable() && f.ReadyReplicas == 2 }
	require.EqualValues(t, 1, s.eventually(t, set, complete).Revision)
	require.EqualValues(t, 1, s.eventually(t, daemon, complete).Revision)
	facts := s.eventually(t, replicaSet, complete)
	require.Zero(t, facts.Revision)
	require.Nil(t, facts.DisruptionsAllowed)

	_, err = apps.StatefulSets(s.namespace).Patch(t.Context(), "web", types.StrategicMergePatchType, image("unpullable"), metav1.PatchOptions{})
	require.NoError(t, err)
	_, err = apps.DaemonSets(s.namespace).Patch(t.Context(), "web", types.StrategicMergePatchType, image("unpullable"), metav1.PatchOptions{})
	require.NoError(t, err)
	rolling := func(f catalogue.Facts) bool { return f.Revision == 2 && f.HealthyRevision == 1 && !f.FullyAvailable() }
	s.eventually(t, set, rolling)
	s.eventually(t, daemon, rolling)
}

func TestAwait(t *testing.T) {
	s := newScene(t)
	web := s.deployment(t, "web", 2)
	ready := catalogue.Prediction{Expect: catalogue.ReadyReplicas, Replicas: 2}
	held, seen, err := s.reader.Await(t.Context(), orderOn(web, ready), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	require.True(t, held, seen)
	facts, err := s.reader.Facts(t.Context(), web)
	require.NoError(t, err)
	web.UID = facts.UID

	t.Run("comes true while it is watched", func(t *testing.T) {
		ended := make(chan error, 1)
		go func() {
			held, seen, err := s.reader.Await(t.Context(), orderOn(web,
				catalogue.Prediction{Expect: catalogue.ReadyReplicas, Replicas: 4, AfterGeneration: facts.Generation}), time.Now().Add(30*time.Second))
			if err == nil && !held {
				err = errors.New(seen)
			}
			ended <- err
		}()
		s.patchDeployment(t, []byte(`{"spec":{"replicas":4}}`), "test")
		require.NoError(t, <-ended)
	})
	t.Run("does not come true", func(t *testing.T) {
		s.patchDeployment(t, image("unpullable"), "test")
		began := time.Now()
		held, seen, err := s.reader.Await(t.Context(), orderOn(web, catalogue.Prediction{Expect: catalogue.Available}), began.Add(2*time.Second))
		require.NoError(t, err)
		require.False(t, held)
		require.Contains(t, seen, "4")
		require.WithinDuration(t, began.Add(2*time.Second), time.Now(), time.Second)
	})
	t.Run("and by how much", func(t *testing.T) {
		five := catalogue.Prediction{Expect: catalogue.ReadyReplicas, Replicas: 5}
		drift, err := s.reader.Drift(t.Context(), orderOn(web, five))
		require.NoError(t, err)
		require.Equal(t, catalogue.Drift{Field: "replicas", Predicted: "5", Actual: "4"}, drift[0])
		other := web
		other.UID = "another"
		drift, err = s.reader.Drift(t.Context(), orderOn(other, five))
		require.NoError(t, err)
		require.Equal(t, catalogue.Vanished(), drift)
	})
	t.Run("the context ends", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, _, err := s.reader.Await(ctx, orderOn(web, catalogue.Prediction{Expect: catalogue.Available}), time.Now().Add(time.Minute))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("the target is deleted", func(t *testing.T) {
		ended := make(chan string, 1)
		go func() {
			_, seen, err := s.reader.Await(t.Context(), orderOn(web, catalogue.Prediction{Expect: catalogue.Available}), time.Now().Add(30*time.Second))
			ended <- fmt.Sprint(seen, err)
		}()
		require.NoError(t, s.client.AppsV1().Deployments(s.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{}))
		require.Contains(t, <-ended, "does not exist")
		drift, err := s.reader.Drift(t.Context(), orderOn(web, catalogue.Prediction{Expect: catalogue.Available}))
		require.NoError(t, err)
		require.Equal(t, catalogue.Vanished(), drift)
	})
}

func TestAwaitOutlivesAnAPIServerThatIsGone(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real servers; run without -short")
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Name: "await"})
	require.NoError(t, err)
	t.Cleanup(c.Stop)
	client := worldtest.Client(t, c)
	replicas := int32(0)
	_, err = client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: pods}, Template: template("x")}}, metav1.CreateOptions{})
	require.NoError(t, err)
	reader, err := target.New(c.RESTConfig())
	require.NoError(t, err)
	web := catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web"}
	ended := make(chan error, 1)
	go func() {
		held, seen, err := reader.Await(t.Context(), orderOn(web, catalogue.Prediction{Expect: catalogue.Available}), time.Now().Add(60*time.Second))
		if err == nil && !held {
			err = errors.New(seen)
		}
		ended <- err
	}()
	c.StopAPIServer()
	require.NoError(t, c.StartAPIServer(t.Context()))
	require.Empty(t, ended)
	d, err := client.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	d.Status.ObservedGeneration = d.Generation
	_, err = client.AppsV1().Deployments("default").UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, <-ended)
}

func TestAppliedTellsWhetherAChangeArrived(t *testing.T) {
	s := newScene(t)
	web := s.deployment(t, "web", 1)
	applied, err := s.reader.Applied(t.Context(), orderOn(web, catalogue.Prediction{}), "writ-order-1")
	require.NoError(t, err)
	require.False(t, applied)
	_, err = s.client.AppsV1().Deployments(s.namespace).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`),
		metav1.PatchOptions{FieldManager: "writ-order-1"}, "scale")
	require.NoError(t, err)
	applied, err = s.reader.Applied(t.Context(), orderOn(web, catalogue.Prediction{}), "writ-order-1")
	require.NoError(t, err)
	require.True(t, applied)
	applied, err = s.reader.Applied(t.Context(), orderOn(web, catalogue.Prediction{}), "writ-order")
	require.NoError(t, err)
	require.False(t, applied)
	_, err = s.reader.Applied(t.Context(), orderOn(s.target("Deployment", "nothing"), catalogue.Prediction{}), "writ-order-1")
	require.ErrorIs(t, err, target.ErrNotFound)
}

func TestClusterUID(t *testing.T) {
	s := newScene(t)
	namespace, err := s.client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	require.NoError(t, err)
	uid, err := s.reader.ClusterUID(t.Context())
	require.NoError(t, err)
	require.Equal(t, string(namespace.UID), uid)
}
