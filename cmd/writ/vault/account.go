package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/cmd/writ/doctor"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
)

// account is what Vault's own ServiceAccount is in a workload cluster, by that cluster's own authorizer.
type account struct {
	there      bool
	namespaces []string // in which it is to make identities
	lacks      []string // what it needs and may not do
	beyond     []string // what it may do, and must not
	unfenced   []string // of its admission policies, what is missing
}

// never are what Vault's account must not be allowed, in the whole cluster: with any of them it can be more than it is.
var never = []rbacv1.PolicyRule{
	{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "clusterroles"}, Verbs: []string{"escalate"}},
	{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"bind", "create", "update", "patch"}},
	{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterrolebindings"}, Verbs: []string{"create", "update", "patch"}},
	{APIGroups: []string{""}, Resources: []string{"users", "groups", "serviceaccounts"}, Verbs: []string{"impersonate"}},
	{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token", "pods"}, Verbs: []string{"create"}},
	{APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"},
		Verbs: []string{"update", "patch", "delete"}},
}

// lookAt asks a workload cluster about Vault's account, with the rights of its administrator. It changes nothing.
func lookAt(ctx context.Context, config *rest.Config) (a account, err error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // some fifty questions
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return a, fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	_, err = c.CoreV1().ServiceAccounts(deployspoke.SystemNamespace).Get(ctx, deployspoke.VaultAccount, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("workload cluster: %w", err)
	}
	a.there = true
	bound, err := c.RbacV1().RoleBindings("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + deployspoke.VaultAccount})
	if err != nil {
		return a, fmt.Errorf("workload cluster: %w", err)
	}
	part := deployspoke.AllParts().Vault
	for _, binding := range bound.Items {
		a.namespaces = append(a.namespaces, binding.Namespace)
		_, denied, err := ask(ctx, c, binding.Namespace, part.Issuing)
		if err != nil {
			return a, err
		}
		a.lacks = append(a.lacks, denied...)
	}
	if a.beyond, _, err = ask(ctx, c, "", never); err != nil {
		return a, err
	}
	a.unfenced, err = missing(ctx, c, part.Objects)
	return a, err
}

// ask has the cluster's authorizer say what of some rules Vault's account is allowed, in a namespace or in all.
func ask(ctx context.Context, c *kubernetes.Clientset, namespace string, rules []rbacv1.PolicyRule) (allowed, denied []string, err error) {
	user := "system:serviceaccount:" + deployspoke.SystemNamespace + ":" + deployspoke.VaultAccount
	for _, rule := range rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				kind, sub, _ := strings.Cut(resource, "/")
				review, err := c.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
					Spec: authorizationv1.SubjectAccessReviewSpec{User: user, Groups: groups,
						ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: rule.APIGroups[0], Resource: kind, Subresource: sub}}},
					metav1.CreateOptions{})
				if err != nil {
					return nil, nil, fmt.Errorf("workload cluster: %w", err)
				}
				says := verb + " " + resource
				if namespace != "" {
					says += " in " + namespace
				}
				if review.Status.Allowed {
					allowed = append(allowed, says)
				} else {
					denied = append(denied, says)
				}
			}
		}
	}
	return allowed, denied, nil
}

// groups are those of every ServiceAccount of the system's namespace.
var groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + deployspoke.SystemNamespace, "system:authenticated"}

// missing are the admission policies, and their bindings, of some objects that the cluster has not.
func missing(ctx context.Context, c *kubernetes.Clientset, objects []runtime.Object) (names []string, err error) {
	admission := c.AdmissionregistrationV1()
	policies, err := admission.ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("workload cluster: %w", err)
	}
	bindings, err := admission.ValidatingAdmissionPolicyBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("workload cluster: %w", err)
	}
	var there []string
	for _, p := range policies.Items {
		there = append(there, "ValidatingAdmissionPolicy "+p.Name)
	}
	for _, b := range bindings.Items {
		there = append(there, "ValidatingAdmissionPolicyBinding "+b.Name)
	}
	for _, object := range objects {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		named, ok := object.(metav1.Object)
		if !ok || !strings.HasPrefix(kind, "ValidatingAdmissionPolicy") {
			continue
		}
		if name := kind + " " + named.GetName(); !slices.Contains(there, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// judgeAccount says what was found of Vault's account in a cluster.
func judgeAccount(name string, a account, add adder) {
	again := "apply deploy/spoke, or its chart, with credentials: vault"
	fine := true
	fail := func(fix, found string, args ...any) {
		fine = false
		add(doctor.Failing, "account", name, fix, found, args...)
	}
	if !a.there {
		fail(again, "it has no ServiceAccount %s/%s", deployspoke.SystemNamespace, deployspoke.VaultAccount)
		return
	}
	if len(a.namespaces) == 0 {
		fail(again+", and the namespaces in which actions are allowed", "Vault may make identities in no namespace")
	}
	if len(a.lacks) > 0 {
		fail(again, "Vault may not %s", strings.Join(a.lacks, ", "))
	}
	if len(a.beyond) > 0 {
		fail("take away what binds its ServiceAccount besides deploy/spoke", "Vault may, in the whole cluster, %s", strings.Join(a.beyond, ", "))
	}
	if len(a.unfenced) > 0 {
		fail(again, "admission does not hold Vault to what it made: no %s", strings.Join(a.unfenced, ", "))
	}
	if fine {
		add(doctor.Fine, "account", name, "", "Vault may make identities in %s, and is fenced", strings.Join(a.namespaces, ", "))
	}
}
