// Package spoke renders what a workload cluster's admin applies before a spoke runs there: who the spoke is, what it may
// read, and what the identities of actions may do.
//
// The rights of actions are computed from the catalogue, so that they cannot drift from it. The spoke's own ServiceAccount can
// change nothing outside its own namespace.
package spoke

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// The namespace and the ServiceAccounts of a spoke.
const (
	SystemNamespace = "writ-system"
	SpokeAccount    = "writ-spoke"
	VaultAccount    = "writ-vault"
)

// Options says what the cluster's admin allows.
type Options struct {
	// Namespaces are those in which actions may be executed.
	Namespaces []string
	// Actions are the names of those allowed; all of the catalogue where empty.
	Actions []string
	// Vault has Vault issue credentials, instead of the cluster's own API server.
	Vault bool
}

// Manifests renders everything as multi-document YAML.
func Manifests(o Options) ([]byte, error) {
	if len(o.Actions) == 0 {
		o.Actions = catalogue.Names()
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	objects := append(base(), spokeRights()...)
	if o.Vault {
		objects = append(objects, vaultRights(o)...)
	} else {
		objects = append(objects, actionRights(o)...)
	}
	var out []byte
	for _, object := range objects {
		raw, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		out = append(append(out, "---\n"...), raw...)
	}
	return out, nil
}

// check refuses what would give more than is meant. Who may make identities in a namespace may use those that are there: so
// Writ's own namespaces are never allowed, nor kube-system where Vault issues.
func (o Options) check() error {
	for _, name := range o.Actions {
		if catalogue.Actions()[name] == nil {
			return fmt.Errorf("the catalogue has no %q; it has %v", name, catalogue.Names())
		}
	}
	for _, namespace := range o.Namespaces {
		switch {
		case len(validation.IsDNS1123Label(namespace)) > 0:
			return fmt.Errorf("%q is no name of a namespace", namespace)
		case namespace == SystemNamespace, namespace == tokenrequest.Namespace:
			return fmt.Errorf("actions cannot be allowed in %s: it is Writ's own", namespace)
		case namespace == metav1.NamespaceSystem && o.Vault:
			return fmt.Errorf("actions cannot be allowed in %s where Vault issues: it could use every account there", namespace)
		}
	}
	return nil
}

func base() []runtime.Object {
	return []runtime.Object{
		&corev1.Namespace{TypeMeta: kind("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace}},
		&corev1.Namespace{TypeMeta: kind("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: tokenrequest.Namespace}},
		mounted(account(SystemNamespace, SpokeAccount)),
	}
}

// spokeRights lets the spoke read what facts, predictions and signals are made of.
func spokeRights() []runtime.Object {
	return clusterWide(SpokeAccount, []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets", "replicasets"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"controllerrevisions"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		{APIGroups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"}},
	})
}

// actionRights gives every action an identity of its own, with the catalogue's rules in each allowed namespace, and lets the
// spoke ask for tokens of these identities and no other.
func actionRights(o Options) []runtime.Object {
	var objects []runtime.Object
	var accounts []string
	for _, name := range o.Actions {
		accounts = append(accounts, tokenrequest.Account(name))
		objects = append(objects, account(tokenrequest.Namespace, tokenrequest.Account(name)))
		who := rbacv1.Subject{Kind: "ServiceAccount", Namespace: tokenrequest.Namespace, Name: tokenrequest.Account(name)}
		for _, namespace := range o.Namespaces {
			objects = append(objects, namespaced(namespace, who.Name, who, Rules(catalogue.Actions()[name]))...)
		}
	}
	return append(objects, namespaced(tokenrequest.Namespace, SpokeAccount, subject(SpokeAccount), []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: accounts, Verbs: []string{"create"}},
	})...)
}

// vaultRights lets Vault make, in the allowed namespaces, identities with any part of what the allowed actions need. It may
// grant that because it has it itself: it may not escalate. It may bind, which spares every credential a tenth of a second of the
// API server's looking up what the account has; the fence holds that, and everything else, to what Vault made itself.
func vaultRights(o Options) []runtime.Object {
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"create", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "delete"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"bind"}},
	}
	for _, name := range o.Actions {
		rules = append(rules, Rules(catalogue.Actions()[name])...)
	}
	objects := append([]runtime.Object{account(SystemNamespace, VaultAccount)}, vaultFence()...)
	for _, namespace := range o.Namespaces {
		objects = append(objects, namespaced(namespace, VaultAccount, subject(VaultAccount), rules)...)
	}
	return objects
}

// Rules are an action's rules for all of its kinds and any target.
func Rules(action *catalogue.Action) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	seen := map[string]bool{}
	for _, k := range action.Kinds {
		for _, r := range action.Rules(catalogue.Case{Kind: k}) {
			r.ResourceNames = nil
			if key := fmt.Sprint(r); !seen[key] {
				seen[key] = true
				rules = append(rules, r)
			}
		}
	}
	return rules
}
