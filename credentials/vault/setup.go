package vault

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// tokenLife is of a spoke's own Vault token. What the token has leased ends with it.
	tokenLife = "30m"
	// longest is of any credential of a cluster's mount, whatever a spoke asks for.
	longest = "1h"
)

// SetupOptions says what Vault must know of a cluster.
type SetupOptions struct {
	Cluster     string // a DNS label
	TrustDomain string
	Authorities []byte // PEM: what SVIDs are signed by
	// KubernetesHost and KubernetesCA are the workload cluster's API server; ServiceAccountToken is of Vault's own account there.
	KubernetesHost      string
	KubernetesCA        []byte
	ServiceAccountToken string
}

// Setup gives a cluster its own mount, policy and login in Vault, with the token of an administrator. Doing it again with the
// same options changes nothing; with others it replaces what was.
func Setup(ctx context.Context, root *api.Client, o SetupOptions) error {
	id, err := identityOf(o)
	if err != nil {
		return fmt.Errorf("vault setup: %w", err)
	}
	if err := enable(ctx, root, o.Cluster); err != nil {
		return fmt.Errorf("vault setup of %s: %w", o.Cluster, explain("mounting the engines", err))
	}
	mount, login := Mount(o.Cluster), loginName(o.Cluster)
	for _, write := range []struct {
		path string
		data map[string]any
	}{
		{"sys/mounts/" + mount + "/tune", map[string]any{"max_lease_ttl": longest}},
		{mount + "/config", map[string]any{"kubernetes_host": o.KubernetesHost, "kubernetes_ca_cert": string(o.KubernetesCA),
			"service_account_jwt": o.ServiceAccountToken, "disable_local_ca_jwt": true}},
		{"sys/policies/acl/" + login, map[string]any{"policy": policy(mount)}},
		{"auth/cert/certs/" + login, map[string]any{"certificate": string(o.Authorities), "allowed_uri_sans": id,
			"token_policies": login, "token_no_default_policy": true, "token_ttl": tokenLife, "token_max_ttl": tokenLife}},
	} {
		if _, err := root.Logical().WriteWithContext(ctx, write.path, write.data); err != nil {
			return fmt.Errorf("vault setup of %s: %w", o.Cluster, explain("writing "+write.path, err))
		}
	}
	return nil
}

// loginName is of a cluster's login, and of the policy that it gives.
func loginName(cluster string) string { return "writ-" + cluster }

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// identityOf is the one SPIFFE ID that may log in. Names are checked first: Vault would read a star in them as "any".
func identityOf(o SetupOptions) (string, error) {
	domain, err := spiffeid.TrustDomainFromString(o.TrustDomain)
	if err != nil {
		return "", err
	}
	if !label.MatchString(o.Cluster) {
		return "", fmt.Errorf("cluster name %q is not a DNS label", o.Cluster)
	}
	id, err := spiffeid.FromSegments(domain, "cluster", o.Cluster)
	return id.String(), err
}

// policy lets a spoke make roles of its bundles in its own mount, take a credential of each, and give it back. Parameters not
// among those allowed cannot be sent: no binding beyond the namespace, no ClusterRole, no token of an account that exists.
func policy(mount string) string {
	return fmt.Sprintf(`path "%[1]s/roles/writ-*" {
  capabilities = ["create", "update", "delete"]
  allowed_parameters = {
    "allowed_kubernetes_namespaces" = []
    "kubernetes_role_type"          = ["Role"]
    "generated_role_rules"          = []
    "token_default_ttl"             = []
    "token_max_ttl"                 = []
    "extra_annotations"             = []
  }
}
path "%[1]s/creds/writ-*" {
  capabilities = ["create", "update"]
  allowed_parameters = { "kubernetes_namespace" = [], "ttl" = [] }
}
path "sys/leases/revoke" {
  capabilities = ["update"]
  allowed_parameters = { "lease_id" = ["%[1]s/creds/writ-*"], "sync" = [] }
}
`, mount)
}

// enable mounts what is not mounted yet. Clusters may be set up at the same time.
func enable(ctx context.Context, root *api.Client, cluster string) error {
	mounts, err := root.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return err
	}
	if mounts[Mount(cluster)+"/"] == nil {
		err := root.Sys().MountWithContext(ctx, Mount(cluster), &api.MountInput{Type: "kubernetes"})
		if err != nil && !taken(err) {
			return err
		}
	}
	auths, err := root.Sys().ListAuthWithContext(ctx)
	if err != nil {
		return err
	}
	if auths["cert/"] == nil {
		err = root.Sys().EnableAuthWithOptionsWithContext(ctx, "cert", &api.EnableAuthOptions{Type: "cert"})
		if err != nil && !taken(err) {
			return err
		}
	}
	return nil
}

func taken(err error) bool { return strings.Contains(err.Error(), "path is already in use") }
