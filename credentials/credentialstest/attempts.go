package credentialstest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
)

// attempt is one request that would change something, or reveal a secret.
type attempt struct {
	name string
	try  func(ctx context.Context, c *kubernetes.Clientset) error
}

// attempts are what an attacker would try with a credential in a namespace, beyond the scale of one Deployment.
func attempts(namespace string) []attempt {
	labels := []byte(`{"metadata":{"labels":{"owned":"yes"}}}`)
	image := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"evil:1"}]}}}}`)
	merge, strategic, patch, remove := types.MergePatchType, types.StrategicMergePatchType, metav1.PatchOptions{}, metav1.DeleteOptions{}
	return []attempt{
		{"patch a Deployment", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().Deployments(namespace).Patch(ctx, Checkout, strategic, image, patch)
			return err
		}},
		{"scale another Deployment", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().Deployments(namespace).Patch(ctx, Payment, merge, []byte(`{"spec":{"replicas":0}}`), patch, "scale")
			return err
		}},
		{"scale a Deployment by update", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().Deployments(namespace).UpdateScale(ctx, Checkout, &autoscalingv1.Scale{
				ObjectMeta: metav1.ObjectMeta{Name: Checkout, Namespace: namespace}}, metav1.UpdateOptions{})
			return err
		}},
		{"scale a StatefulSet", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().StatefulSets(namespace).Patch(ctx, Checkout, merge, []byte(`{"spec":{"replicas":0}}`), patch, "scale")
			return err
		}},
		{"delete a Deployment", func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.AppsV1().Deployments(namespace).Delete(ctx, Checkout, remove)
		}},
		{"delete all Deployments", func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.AppsV1().Deployments(namespace).DeleteCollection(ctx, remove, metav1.ListOptions{})
		}},
		{"create a Deployment", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "evil"}}, metav1.CreateOptions{})
			return err
		}},
		{"create a Pod", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "evil"}}, metav1.CreateOptions{})
			return err
		}},
		{"delete a Pod", func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().Pods(namespace).Delete(ctx, Checkout, remove)
		}},
		{"evict a Pod", func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.PolicyV1().Evictions(namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: Checkout, Namespace: namespace}})
		}},
		{"exec into a Pod", func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(Checkout).SubResource("exec").
				Param("command", "sh").Param("stdout", "true").Do(ctx).Error()
		}},
		{"label a Pod", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Pods(namespace).Patch(ctx, Checkout, merge, labels, patch)
			return err
		}},
		{"read a Secret", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Secrets(namespace).Get(ctx, Checkout, metav1.GetOptions{})
			return err
		}},
		{"list Secrets", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
			return err
		}},
		{"create a Role", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "evil"}}, metav1.CreateOptions{})
			return err
		}},
		{"make itself an administrator", func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "evil"},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
				Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: spoke.SystemNamespace, Name: spoke.SpokeAccount}}}, metav1.CreateOptions{})
			return err
		}},
		{"get a token of a workload's account", token(namespace, Checkout)},
		{"get a token of Vault's account", token(spoke.SystemNamespace, spoke.VaultAccount)},
		{"get a token of the spoke's account", token(spoke.SystemNamespace, spoke.SpokeAccount)},
		{"get a token in kube-system", token(metav1.NamespaceSystem, "default")},
		{"get a token of an action's namespace", token(tokenrequest.Namespace, "default")},
		{"delete a namespace", func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().Namespaces().Delete(ctx, namespace, remove)
		}},
	}
}

func token(namespace, name string) func(context.Context, *kubernetes.Clientset) error {
	return func(ctx context.Context, c *kubernetes.Clientset) error {
		_, err := c.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		return err
	}
}

// MayNothingElse tries everything that goes beyond the scale of Checkout in the allowed namespace, for real, and demands
// that each is forbidden and that nothing was written. allow are the names of attempts that the identity may make.
func (s *Scene) MayNothingElse(t *testing.T, config *rest.Config, allow ...string) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	before := s.everything(t)
	for _, namespace := range []string{s.Allowed, s.Other, metav1.NamespaceSystem} {
		for _, a := range attempts(namespace) {
			if namespace == s.Allowed && contains(allow, a.name) {
				continue
			}
			err := a.try(t.Context(), client)
			require.True(t, apierrors.IsForbidden(err), "%s in %s: got %v, want forbidden", a.name, namespace, err)
		}
	}
	require.Equal(t, before, s.everything(t), "something was written")
}

// Reach tries everything that an attacker would, for real, and returns what was let through: "scale the Deployment checkout in
// allowed". What it changes stays changed.
func (s *Scene) Reach(t testing.TB, config *rest.Config) (reached []string) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	for where, namespace := range map[string]string{"allowed": s.Allowed, "other": s.Other, metav1.NamespaceSystem: metav1.NamespaceSystem} {
		for _, a := range append(attempts(namespace), ordered(namespace)...) {
			err := a.try(t.Context(), client)
			switch {
			case err == nil:
				reached = append(reached, a.name+" in "+where)
			case !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) && !apierrors.IsNotFound(err):
				require.NoError(t, err, "%s in %s: neither done nor denied", a.name, where)
			}
		}
	}
	slices.Sort(reached)
	return reached
}

// ordered is what the order of a scale has done.
func ordered(namespace string) []attempt {
	return []attempt{
		{"read the scale of the Deployment " + Checkout, func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().Deployments(namespace).GetScale(ctx, Checkout, metav1.GetOptions{})
			return err
		}},
		{"scale the Deployment " + Checkout, func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.AppsV1().Deployments(namespace).Patch(ctx, Checkout, types.MergePatchType, []byte(`{"spec":{"replicas":4}}`),
				metav1.PatchOptions{FieldManager: "writ-order-stolen"}, "scale")
			return err
		}},
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// everything is the resource version of all that could have been changed.
func (s *Scene) everything(t testing.TB) map[string]string {
	t.Helper()
	client, err := dynamic.NewForConfig(s.Cluster.RESTConfig())
	require.NoError(t, err)
	seen := map[string]string{}
	for _, resource := range []struct{ group, version, resource string }{
		{"apps", "v1", "deployments"}, {"apps", "v1", "statefulsets"}, {"", "v1", "pods"}, {"", "v1", "secrets"}, {"", "v1", "serviceaccounts"},
		{"", "v1", "namespaces"}, {rbacv1.GroupName, "v1", "roles"}, {rbacv1.GroupName, "v1", "rolebindings"}, {rbacv1.GroupName, "v1", "clusterrolebindings"},
	} {
		gvr := appsv1.SchemeGroupVersion.WithResource(resource.resource)
		gvr.Group, gvr.Version = resource.group, resource.version
		list, err := client.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, item := range list.Items {
			seen[fmt.Sprintf("%s/%s/%s", resource.resource, item.GetNamespace(), item.GetName())] = item.GetResourceVersion()
		}
	}
	return seen
}
