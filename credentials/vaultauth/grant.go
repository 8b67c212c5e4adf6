package vaultauth

import (
	"fmt"
	"regexp"
	"time"

	"github.com/writ-dev/writ/api/trust"
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
	mount     string // of the cluster's Kubernetes engine
	role      string // of the engine
	policy    string // of Vault
	namespace string
	life      time.Duration // of the token; whole seconds
	verified  trust.Verified
}

// grantOf says what a bundle is worth, or why it is worth nothing.
func grantOf(v trust.Verified, c clusterConfig, asked time.Duration) (grant, error) {
	order, id := v.Order(), v.Decoded().Bundle.ID
	if !nameable.MatchString(id) {
		return grant{}, fmt.Errorf("the bundle's ID is no name of a role")
	}
	if order.Target.Namespace == "" {
		return grant{}, fmt.Errorf("%s has a target outside all namespaces: Vault gives no rights in a whole cluster", order.Action)
	}
	life := time.Duration(order.DeadlineSeconds) * time.Second
	if asked > 0 {
		life = min(life, asked)
	}
	cluster := order.Audience.Cluster
	return grant{cluster: cluster, mount: c.Mount, role: vault.RoleName(id), policy: vault.GrantPolicy(cluster, id), namespace: order.Target.Namespace,
		life: max(life.Truncate(time.Second), time.Second), verified: v}, nil
}

// credentialLife is of the ServiceAccount's token, the shortest there is. It ends with the lease, and that with Vault's token.
const credentialLife = "600s"

// rules is the policy of the token: the one credential, and giving it back.
func (g grant) rules() string {
	return fmt.Sprintf(`path "%[1]s/creds/%[2]s" {
  capabilities = ["create", "update"]
  allowed_parameters = { "kubernetes_namespace" = [%[3]q], "ttl" = [%[4]q] }
}
path "sys/leases/revoke" {
  capabilities = ["update"]
  allowed_parameters = { "lease_id" = ["%[1]s/creds/%[2]s/*"], "sync" = [] }
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
`, g.mount, g.role, g.namespace, credentialLife)
}
