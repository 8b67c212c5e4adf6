package vaultauth

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/credentials/vault"
)

var (
	label     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	mountable = regexp.MustCompile(`^[a-z0-9]([a-z0-9_/.-]{0,126}[a-z0-9])?$`)
	// nameable is what of a bundle's ID may stand in a path and in the name of a policy, which Vault writes in small letters: two
	// IDs that differ in case alone would be one there.
	nameable = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?$`)
)

// grant is what one bundle is worth here.
type grant struct {
	cluster   string
	mount     string // of the cluster's Kubernetes engine, or of the issuer of identity tokens
	role      string // of the engine
	policy    string // of Vault
	namespace string
	audience  string        // of identity tokens; empty where the engine issues
	life      time.Duration // of the token; whole seconds
	verified  trust.Verified
}

// begun is what a token's time loses before there is the token: it counts from the beginning of the second in which it is made.
const begun = time.Second

// grantOf says what a bundle is worth, or why it is worth nothing.
func grantOf(v trust.Verified, c clusterConfig, asked time.Duration) (grant, error) {
	order, id := v.Order(), v.Decoded().Bundle.ID
	if !nameable.MatchString(id) {
		return grant{}, fmt.Errorf("the bundle's ID is no name of a role")
	}
	if order.Target.Namespace == "" && c.Audience == "" {
		return grant{}, fmt.Errorf("%s has a target outside all namespaces: Vault gives no rights in a whole cluster", order.Action)
	}
	life := time.Duration(order.DeadlineSeconds) * time.Second
	if asked > 0 {
		life = min(life, asked)
	}
	cluster := order.Audience.Cluster
	g := grant{cluster: cluster, mount: c.engine(), role: vault.RoleName(id), policy: vault.GrantPolicy(cluster, id), namespace: order.Target.Namespace,
		audience: c.Audience, life: max(life.Truncate(time.Second), time.Second) + begun, verified: v}
	if c.Audience != "" {
		g.role = vault.OIDCRole(cluster, id)
	}
	return g, nil
}

// definition is the role of the bundle, and where it goes: for the Kubernetes engine exactly the order's rules, for the issuer of
// identity tokens the one account that the order's action is.
func (g grant) definition() (path string, role map[string]any, err error) {
	if g.audience == "" {
		role, err = vault.RoleOf(g.verified.Order(), credentialLife)
		return rolePath(g.mount, g.role), role, err
	}
	account, err := tokenrequest.AccountOf(g.verified.Decoded())
	if err != nil {
		return "", nil, err
	}
	template, err := json.Marshal(map[string]string{vault.Claim: account})
	return rolePath(g.mount, g.role), map[string]any{"key": vault.OIDCKey(g.cluster), "client_id": g.audience, "ttl": vault.IdentityLife, "template": string(template)}, err
}

// rolePath is where a role is in its engine.
func rolePath(mount, role string) string {
	if mount == vault.OIDCEngine {
		return mount + "/role/" + role
	}
	return mount + "/roles/" + role
}

// path is where the credential is.
func (g grant) path() string {
	if g.audience != "" {
		return g.mount + "/token/" + g.role
	}
	return g.mount + "/creds/" + g.role
}

// credentialLife is of the ServiceAccount's token, the shortest there is. It ends with the lease, and that with Vault's token.
const credentialLife = "600s"

// rules is the policy of the token: the one credential.
func (g grant) rules() string {
	if g.audience != "" {
		return fmt.Sprintf("path %q {\n  capabilities = [\"read\"]\n}\n", g.path())
	}
	return fmt.Sprintf(`path %q {
  capabilities = ["create", "update"]
  allowed_parameters = { "kubernetes_namespace" = [%q], "ttl" = [%q] }
}
`, g.path(), g.namespace, credentialLife)
}
