// Package spoke renders what a workload cluster's admin applies before a spoke runs there: who the spoke is, what it may
// read, and what the identities of actions may do.
//
// The rights of actions are computed from the catalogue, so that they cannot drift from it. The spoke's own ServiceAccount can
// change nothing outside its own namespace.
package spoke

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// The namespace and the ServiceAccounts of a spoke.
const (
	SystemNamespace = tokenrequest.System
	SpokeAccount    = "writ-spoke"
	VaultAccount    = "writ-vault"

	// readsRole is of what the spoke reads that has no namespace, where actions are allowed that look at it.
	readsRole = "writ-spoke-reads"
)

// Options says what the cluster's admin allows.
type Options struct {
	// Namespaces are those in which actions may be executed.
	Namespaces []string
	// Actions are the names of those allowed; where empty, all of the catalogue that act within a namespace. An action on what
	// has no namespace, such as a node, is allowed only by name, and then on all of them.
	Actions []string
	// Templates are the actions of the site's own that are allowed.
	Templates []template.Definition
	// MaxReplicas is what admission lets no action scale anything beyond, DefaultMaxReplicas where 0; MaxStep, how much at once,
	// unbounded where 0.
	MaxReplicas, MaxStep int
	// Vault has Vault issue credentials, instead of the cluster's own API server.
	Vault bool
	// OIDC has Vault vouch for the identities of actions: nobody in the cluster may ask for a token of them.
	OIDC bool
}

// Manifests renders everything as multi-document YAML.
func Manifests(o Options) ([]byte, error) {
	if len(o.Actions) == 0 {
		o.Actions = slices.DeleteFunc(catalogue.ClusterNames(), func(name string) bool { return catalogue.Actions()[name].ClusterScoped() })
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	objects := slices.Concat(base(), []runtime.Object{limits(o)}, readRights(o), rehearsalRights(o))
	switch {
	case o.Vault:
		objects = append(objects, vaultRights(o)...)
	case o.OIDC:
		objects = append(objects, actionRights(o)...)
	default:
		objects = append(append(objects, actionRights(o)...), binderTokens()...)
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

// allowed are the actions, first those of the catalogue. check has passed them.
func (o Options) allowed() []*catalogue.Action {
	var all []*catalogue.Action
	for _, name := range o.Actions {
		all = append(all, catalogue.Actions()[name])
	}
	for _, d := range o.Templates {
		action, _ := template.Compile(d)
		all = append(all, action)
	}
	return all
}

// check refuses what would give more than is meant. Who may make identities in a namespace may use those that are there: so
// Writ's own namespaces are never allowed, nor kube-system where Vault issues.
func (o Options) check() error {
	for _, name := range o.Actions {
		if catalogue.Actions()[name] == nil {
			return fmt.Errorf("the catalogue has no %q; it has %v", name, catalogue.ClusterNames())
		}
		if catalogue.Actions()[name].OnHub {
			return fmt.Errorf("%s is carried out by the hub: there is nothing to allow in a cluster", name)
		}
		if o.Vault && catalogue.Actions()[name].ClusterScoped() {
			return fmt.Errorf("%s cannot be allowed where Vault issues: it makes identities within a namespace alone", name)
		}
	}
	for i, d := range o.Templates {
		if _, err := template.Compile(d); err != nil {
			return fmt.Errorf("templates[%d].%w", i, err)
		}
	}
	for _, namespace := range o.Namespaces {
		switch {
		case len(validation.IsDNS1123Label(namespace)) > 0:
			return fmt.Errorf("%q is no name of a namespace", namespace)
		case namespace == SystemNamespace, namespace == tokenrequest.Namespace, namespace == tokenrequest.Sandbox:
			return fmt.Errorf("actions cannot be allowed in %s: it is Writ's own", namespace)
		case namespace == metav1.NamespaceSystem && o.Vault:
			return fmt.Errorf("actions cannot be allowed in %s where Vault issues: it could use every account there", namespace)
		}
	}
	return nil
}

// base is there whatever is allowed.
func base() []runtime.Object {
	objects := []runtime.Object{namespace(SystemNamespace), namespace(tokenrequest.Namespace), namespace(tokenrequest.Sandbox),
		mounted(account(SystemNamespace, SpokeAccount))}
	objects = append(append(append(objects, sandbox()...), spokeRights()...), hold()...)
	return append(objects, actionFences(actionFence, limitsFence, byTokenRequest, toOneTarget(fenceSpec()))...)
}

// JoinSecretName is what the Secret with the join file is called, where it is made by Writ's own commands.
const JoinSecretName = "writ-join"

// Home is the namespace that the spoke lives in, for whoever has to put something into it first.
func Home() *corev1.Namespace { return namespace(SystemNamespace) }

// JoinSecret is the join file as the spoke's chart wants it. Once the spoke has joined, it is of no more use.
func JoinSecret(join []byte) *corev1.Secret {
	return &corev1.Secret{TypeMeta: kind("v1", "Secret"), ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: JoinSecretName},
		Data: map[string][]byte{"join.yaml": join}}
}

// namespace is one that takes no pod with more than the least rights on its node.
func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{TypeMeta: kind("v1", "Namespace"),
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
}

// spokeRights lets the spoke read what signals, and the facts of workloads, are made of.
func spokeRights() []runtime.Object {
	return everywhere(SpokeAccount, subject(SpokeAccount), []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "replicasets"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"statefulsets", "daemonsets"}, Verbs: []string{"get", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"controllerrevisions"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		{APIGroups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"}},
	})
}

// readRights gives the spoke what the allowed actions have it read.
func readRights(o Options) []runtime.Object {
	var inNamespaces, inCluster []rbacv1.PolicyRule
	for _, action := range o.allowed() {
		some, all := reads(action)
		inNamespaces, inCluster = append(inNamespaces, some...), append(inCluster, all...)
	}
	var objects []runtime.Object
	if len(inCluster) > 0 {
		objects = everywhere(readsRole, subject(SpokeAccount), unique(inCluster))
	}
	if len(inNamespaces) > 0 {
		for _, namespace := range o.Namespaces {
			objects = append(objects, namespaced(namespace, SpokeAccount, subject(SpokeAccount), unique(inNamespaces))...)
		}
	}
	return objects
}

// reads are what the spoke may read where an action is allowed, because it judges it on that: its targets, and what it looks at
// besides. The second rules are those of kinds without a namespace. Workloads it reads anyway.
func reads(action *catalogue.Action) (inNamespaces, inCluster []rbacv1.PolicyRule) {
	add := func(verb string, kinds []catalogue.Kind) {
		for _, k := range kinds {
			rule := rbacv1.PolicyRule{APIGroups: []string{k.Group()}, Resources: []string{k.Resource}, Verbs: []string{verb}}
			switch {
			case verb == "get" && slices.Contains(catalogue.Workloads(), k):
			case k.ClusterScoped:
				inCluster = append(inCluster, rule)
			default:
				inNamespaces = append(inNamespaces, rule)
			}
		}
	}
	add("get", action.Kinds)
	add("get", action.Gets)
	add("list", action.Lists)
	return unique(inNamespaces), unique(inCluster)
}

// granted gives an identity an action's rules in each namespace; where the action is on what has none, once and for all.
func granted(namespaces []string, who rbacv1.Subject, action *catalogue.Action) []runtime.Object {
	if action.ClusterScoped() {
		return everywhere(who.Name, who, Rules(action))
	}
	var objects []runtime.Object
	for _, namespace := range namespaces {
		objects = append(objects, namespaced(namespace, who.Name, who, Rules(action))...)
	}
	return objects
}

// vaultRights lets Vault make, in the allowed namespaces, identities with any part of what the allowed actions need. It may
// grant that because it has it itself: it may not escalate. It may bind, which spares every credential a tenth of a second of the
// API server's looking up what the account has; the fence holds that, and everything else, to what Vault made itself.
func vaultRights(o Options) []runtime.Object {
	rules := issuing()
	for _, action := range o.allowed() {
		rules = append(rules, Rules(action)...)
	}
	objects := vaultBase()
	for _, namespace := range o.Namespaces {
		objects = append(objects, namespaced(namespace, VaultAccount, subject(VaultAccount), rules)...)
	}
	return objects
}

// issuing is what Vault needs in a namespace besides what it grants.
func issuing() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"create", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "delete"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"bind"}},
	}
}

// vaultBase is Vault's account and the fence around it.
func vaultBase() []runtime.Object {
	objects := append([]runtime.Object{account(SystemNamespace, VaultAccount)}, vaultFence()...)
	return append(objects, actionFences(vaultActionFence, vaultLimitsFence, byVault, fenceSpec())...)
}

// Rules are an action's rules for all of its kinds and any target.
func Rules(action *catalogue.Action) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, k := range action.Kinds {
		for _, r := range action.Rules(catalogue.Case{Kind: k}) {
			r.ResourceNames = nil
			rules = append(rules, r)
		}
	}
	return unique(rules)
}

// unique are the rules, each once, in their order.
func unique(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var once []rbacv1.PolicyRule
	for _, r := range rules {
		if !slices.ContainsFunc(once, func(o rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(o, r) }) {
			once = append(once, r)
		}
	}
	return once
}
