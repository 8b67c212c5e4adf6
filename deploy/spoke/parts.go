package spoke

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// Parts is what Manifests puts together, for the chart, which puts it together from its values to the same end.
type Parts struct {
	// Base is there whatever is allowed.
	Base []runtime.Object `json:"base"`
	// Actions are all of the catalogue that are carried out in a cluster, by name.
	Actions map[string]ActionPart `json:"actions"`
	Binder  BinderPart            `json:"binder"`
	Vault   VaultPart             `json:"vault"`
	// Templates are which kinds an action of a site's own may be on.
	Templates TemplatePart `json:"templates"`
}

// TemplatePart is what the chart refuses of actions.templates before it gives any rights.
type TemplatePart struct {
	// Kinds are all that there are of Kubernetes' own groups, and Never are groups of others, with all below them.
	Kinds []catalogue.Kind `json:"kinds"`
	Never []string         `json:"never"`
}

// ActionPart is what the Role of an action and the identity of its rehearsals are called, and what each may do in each allowed namespace.
type ActionPart struct {
	Role      string              `json:"role"`
	Rehearsal string              `json:"rehearsal"`
	Rules     []rbacv1.PolicyRule `json:"rules"`
	// ClusterScoped actions are allowed by name alone, and have their rules in the whole cluster.
	ClusterScoped bool `json:"clusterScoped,omitempty"`
	// Reads are what the spoke itself may read where the action is allowed: in each allowed namespace, and in the cluster.
	Reads        []rbacv1.PolicyRule `json:"reads,omitempty"`
	ClusterReads []rbacv1.PolicyRule `json:"clusterReads,omitempty"`
}

// BinderPart is for clusters whose own API server issues.
type BinderPart struct {
	Account string `json:"account"`
	// Objects are there once. What the binder may bind depends on what is allowed. Tokens are there too where nobody else vouches for
	// the identities of actions.
	Objects []runtime.Object `json:"objects"`
	Tokens  []runtime.Object `json:"tokens"`
}

// VaultPart is for clusters in which Vault issues.
type VaultPart struct {
	Account string `json:"account"`
	// Objects are there once; Issuing, with the rules of the allowed actions, is given in each allowed namespace.
	Objects []runtime.Object    `json:"objects"`
	Issuing []rbacv1.PolicyRule `json:"issuing"`
}

// AllParts returns the parts.
func AllParts() Parts {
	p := Parts{Base: base(), Actions: map[string]ActionPart{}, Binder: BinderPart{Account: tokenrequest.Binder, Objects: binderBase(), Tokens: binderTokens()},
		Vault:     VaultPart{Account: VaultAccount, Objects: vaultBase(), Issuing: issuing()},
		Templates: TemplatePart{Kinds: template.Known(), Never: template.Never()}}
	for _, name := range catalogue.ClusterNames() {
		action := catalogue.Actions()[name]
		inNamespaces, inCluster := reads(action)
		p.Actions[name] = ActionPart{Role: tokenrequest.Role(name), Rehearsal: tokenrequest.RehearsalAccount(name), Rules: Rules(action),
			Reads: inNamespaces, ClusterReads: inCluster, ClusterScoped: action.ClusterScoped()}
	}
	return p
}
