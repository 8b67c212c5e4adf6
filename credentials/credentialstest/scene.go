// Package credentialstest is a workload cluster for tests of whoever holds rights in it: two namespaces of which one is
// allowed, workloads in both, Writ's own identities, and ways to ask and to try what an identity may do.
//
// The cluster is a real API server; nothing here is faked.
package credentialstest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// The workloads of both namespaces. Checkout is what orders are about.
const (
	Checkout = "checkout"
	Payment  = "payment"
)

// Scene is a cluster with Writ's manifests applied.
type Scene struct {
	Cluster *cluster.Cluster
	Admin   *kubernetes.Clientset
	// Allowed is a namespace in which actions are allowed; Other is one in which they are not.
	Allowed, Other string
	Fixture        *trusttest.Fixture
}

// New makes a scene of its own in the cluster that the tests share.
func New(t testing.TB, vault bool) *Scene {
	t.Helper()
	return NewIn(t, worldtest.Cluster(t, cluster.Options{}), spoke.Options{Vault: vault})
}

// NewIn makes a scene of its own in a cluster, where the options allow actions in one of its namespaces.
func NewIn(t testing.TB, in *cluster.Cluster, o spoke.Options) *Scene {
	t.Helper()
	s := &Scene{Cluster: in, Fixture: trusttest.New(t)}
	s.Admin = worldtest.Client(t, s.Cluster)
	s.Allowed, s.Other = worldtest.Namespace(t, s.Cluster), worldtest.Namespace(t, s.Cluster)
	o.Namespaces = []string{s.Allowed}
	manifests, err := spoke.Manifests(o)
	require.NoError(t, err)
	require.NoError(t, apply.YAML(t.Context(), s.Cluster.RESTConfig(), manifests))
	s.populateAll(t)
	return s
}

// At makes a scene of a cluster that somebody else has set up, in two namespaces that are there. It has no fixture.
func At(t testing.TB, c *cluster.Cluster, allowed, other string) *Scene {
	t.Helper()
	s := &Scene{Cluster: c, Admin: worldtest.Client(t, c), Allowed: allowed, Other: other}
	s.populateAll(t)
	return s
}

func (s *Scene) populateAll(t testing.TB) {
	t.Helper()
	for _, namespace := range []string{s.Allowed, s.Other} {
		for _, name := range []string{Checkout, Payment} {
			s.populate(t, namespace, name)
		}
	}
}

// populate makes one of each kind, all of one name. No controller runs: they stay as they are.
func (s *Scene) populate(t testing.TB, namespace, name string) {
	t.Helper()
	meta, ctx, created := metav1.ObjectMeta{Namespace: namespace, Name: name}, t.Context(), metav1.CreateOptions{}
	labels := map[string]string{"app": name}
	pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.test/shop:1"}}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod}
	replicas, selector := int32(3), &metav1.LabelSelector{MatchLabels: labels}
	_, err := s.Admin.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template}}, created)
	require.NoError(t, err)
	_, err = s.Admin.AppsV1().StatefulSets(namespace).Create(ctx, &appsv1.StatefulSet{ObjectMeta: meta,
		Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: selector, Template: template}}, created)
	require.NoError(t, err)
	_, err = s.Admin.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, created)
	require.NoError(t, err)
	_, err = s.Admin.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"password": "x"}}, created)
	require.NoError(t, err)
	pod.ServiceAccountName = name
	_, err = s.Admin.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: pod}, created)
	require.NoError(t, err)
}

// Verified is a verified bundle for the Deployment Checkout in a namespace, of a request of its own.
func (s *Scene) Verified(t testing.TB, action, namespace, parameters string) trust.Verified {
	t.Helper()
	live, err := s.Admin.AppsV1().Deployments(namespace).Get(t.Context(), Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	target := catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: Checkout, UID: string(live.UID)}
	facts := catalogue.Facts{UID: target.UID, Generation: live.Generation, ObservedGeneration: live.Generation, Replicas: 3, ReadyReplicas: 3}
	order := s.Fixture.OrderFor(action, target, facts, parameters)
	// Tests share one Vault, which takes each ID once: the namespace has a random end.
	order.RequestID = fmt.Sprintf("%s-%d-%s", action, s.Fixture.Sequence+1, s.Allowed[len(s.Allowed)-5:])
	order.ID = "order-" + order.RequestID
	return s.Fixture.Verified(order)
}

// Lease is one that the API server issued for an action on Checkout in the allowed namespace, once its rights are in force.
func (s *Scene) Lease(t testing.TB, action, parameters string) *credentials.Lease {
	t.Helper()
	issuer, err := tokenrequest.New(s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount))
	require.NoError(t, err)
	verified := s.Verified(t, action, s.Allowed, parameters)
	var lease *credentials.Lease
	worldtest.Eventually(t, "the rights of who issues to be in force", func(ctx context.Context) (err error) {
		lease, err = issuer.Issue(ctx, verified, least)
		return err
	})
	t.Cleanup(func() { _ = lease.Revoke(context.Background()) })
	return lease
}

// Account returns the configuration of a client that is a ServiceAccount of the cluster.
func (s *Scene) Account(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	config := s.Anonymous()
	token, err := s.Cluster.TokenFor(t.Context(), namespace, name, least)
	require.NoError(t, err)
	config.BearerToken = token
	return config
}

// Anonymous is where the API server is, without an identity.
func (s *Scene) Anonymous() *rest.Config {
	config := rest.AnonymousClientConfig(s.Cluster.RESTConfig())
	config.QPS = -1
	return config
}

// Identities lists what makes a credential in a namespace: Roles, RoleBindings and ServiceAccounts, by their names.
func (s *Scene) Identities(ctx context.Context, t testing.TB, namespace string) (names []string) {
	t.Helper()
	roles, err := s.Admin.RbacV1().Roles(namespace).List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, role := range roles.Items {
		names = append(names, "role/"+role.Name)
	}
	bindings, err := s.Admin.RbacV1().RoleBindings(namespace).List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, binding := range bindings.Items {
		names = append(names, "rolebinding/"+binding.Name)
	}
	accounts, err := s.Admin.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, account := range accounts.Items {
		names = append(names, "serviceaccount/"+account.Name)
	}
	return names
}

// Roles returns the Roles of a namespace whose rules are for an order, by the annotation that names it.
func (s *Scene) Roles(ctx context.Context, t testing.TB, namespace, order string) (found []rbacv1.Role) {
	t.Helper()
	roles, err := s.Admin.RbacV1().Roles(namespace).List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, role := range roles.Items {
		if role.Annotations["writ.dev/order"] == order {
			found = append(found, role)
		}
	}
	return found
}

// WhoAmI is whom the API server takes a client for.
func WhoAmI(t testing.TB, client *kubernetes.Clientset) authenticationv1.UserInfo {
	t.Helper()
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.UserInfo
}
