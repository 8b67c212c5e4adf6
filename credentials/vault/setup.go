package vault

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// SetupOptions says what Vault must know of a cluster.
type SetupOptions struct {
	Cluster     string
	TrustDomain string
	Authorities []byte // PEM: what SVIDs are signed by
	// KubernetesHost and KubernetesCA are the workload cluster's API server; ServiceAccountToken is of Vault's own account there.
	KubernetesHost      string
	KubernetesCA        []byte
	ServiceAccountToken string
}

// Setup gives a cluster its own mount, policy and login in Vault. Doing it again changes nothing.
func Setup(ctx context.Context, root *api.Client, o SetupOptions) error {
	if err := enable(ctx, root, o.Cluster); err != nil {
		return fmt.Errorf("vault setup of %s: %w", o.Cluster, err)
	}
	mount := Mount(o.Cluster)
	for _, write := range []struct {
		path string
		data map[string]any
	}{
		{mount + "/config", map[string]any{"kubernetes_host": o.KubernetesHost, "kubernetes_ca_cert": string(o.KubernetesCA),
			"service_account_jwt": o.ServiceAccountToken, "disable_local_ca_jwt": true}},
		{"sys/policies/acl/" + loginName(o.Cluster), map[string]any{"policy": policy(mount)}},
		{"auth/cert/certs/" + loginName(o.Cluster), map[string]any{"certificate": string(o.Authorities),
			"allowed_uri_sans": fmt.Sprintf("spiffe://%s/cluster/%s", o.TrustDomain, o.Cluster), "token_policies": loginName(o.Cluster),
			"token_no_default_policy": true, "token_ttl": "30m", "token_max_ttl": "30m"}},
	} {
		if _, err := root.Logical().WriteWithContext(ctx, write.path, write.data); err != nil {
			return fmt.Errorf("vault setup of %s: %w", o.Cluster, explain("writing "+write.path, err))
		}
	}
	return nil
}

// policy lets a spoke make roles of its bundles in its own mount, take a credential of each in one namespace, and give it back.
// A binding beyond the namespace cannot be asked for: the parameter is not among those allowed.
func policy(mount string) string {
	return fmt.Sprintf(`path "%[1]s/roles/writ-*" { capabilities = ["create", "update", "delete"] }
path "%[1]s/creds/writ-*" {
  capabilities = ["create", "update"]
  allowed_parameters = { "kubernetes_namespace" = [], "ttl" = [] }
}
path "sys/leases/revoke" { capabilities = ["update"] }
`, mount)
}

func enable(ctx context.Context, root *api.Client, cluster string) error {
	mounts, err := root.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return err
	}
	if mounts[Mount(cluster)+"/"] == nil {
		if err := root.Sys().MountWithContext(ctx, Mount(cluster), &api.MountInput{Type: "kubernetes"}); err != nil {
			return err
		}
	}
	auths, err := root.Sys().ListAuthWithContext(ctx)
	if err != nil {
		return err
	}
	if auths["cert/"] != nil {
		return nil
	}
	err = root.Sys().EnableAuthWithOptionsWithContext(ctx, "cert", &api.EnableAuthOptions{Type: "cert"})
	if err != nil && strings.Contains(err.Error(), "path is already in use") {
		return nil // another cluster's setup was quicker
	}
	return err
}
