package tokenrequest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/credentials"
)

// identity is who one action is, and where it may act.
type identity struct {
	// account is the ServiceAccount in Namespace, and the binding of the same name: what was ordered, readable in the API server's
	// audit log, and what admission holds the identity to (deploy/spoke).
	account   string
	namespace string // of the binding; empty for an action on what has no namespace
}

// numberLength is the length of an account's first part, in hexadecimal digits.
const numberLength = 16

// AccountName is the ServiceAccount of one action on one object: "3f0c….scale.deployments.checkout". number is unique to the
// bundle, and of constant length, so that admission can tell where the rest begins.
func AccountName(number, action, resource, target string) string {
	return strings.Join([]string{number, action, resource, target}, ".")
}

// identityOf is the identity of a bundle's action: always the same for the same bundle.
func identityOf(d *bundle.Decoded) (identity, error) {
	action, c, ok := d.Order.Case()
	if !ok || c.Kind.Resource == "" {
		return identity{}, fmt.Errorf("%w: the catalogue has no %s of a %s", credentials.ErrRefused, d.Order.Action, d.Order.Target.Kind)
	}
	sum := sha256.Sum256([]byte(d.Bundle.ID))
	who := identity{account: AccountName(hex.EncodeToString(sum[:])[:numberLength], action.Name, c.Kind.Resource, c.Target.Name), namespace: c.Target.Namespace}
	if problems := validation.IsDNS1123Subdomain(who.account); len(problems) > 0 {
		return identity{}, fmt.Errorf("%w: %s cannot be named in an identity of its own: %s", credentials.ErrRefused, c.Target, problems[0])
	}
	return who, nil
}

// AccountOf is the account of a bundle's action.
func AccountOf(d *bundle.Decoded) (string, error) {
	who, err := identityOf(d)
	return who.account, err
}

// id is the lease's: "shop/3f0c….scale.deployments.checkout".
func (i identity) id() string { return i.namespace + "/" + i.account }

// parseID reads what id wrote.
func parseID(id string) (identity, error) {
	namespace, account, ok := strings.Cut(id, "/")
	if !ok || len(validation.IsDNS1123Subdomain(account)) > 0 || namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		return identity{}, fmt.Errorf("%q is no lease of the API server's", id)
	}
	return identity{account: account, namespace: namespace}, nil
}

// binding is the path of the identity's binding's collection.
func (i identity) binding() []string {
	if i.namespace == "" {
		return []string{"apis", "rbac.authorization.k8s.io", "v1", "clusterrolebindings"}
	}
	return []string{"apis", "rbac.authorization.k8s.io", "v1", "namespaces", i.namespace, "rolebindings"}
}

// accounts is the path of the accounts of actions.
func accounts() []string {
	return []string{"api", "v1", "namespaces", Namespace, "serviceaccounts"}
}
