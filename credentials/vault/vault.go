// Package vault issues credentials by HashiCorp Vault's Kubernetes secrets engine: for each bundle an identity of its own,
// whose Role is made of exactly the rules of the order, in the target's namespace alone, gone once the lease is revoked.
//
// Vault judges the bundle itself (package vaultauth): the spoke hands it over, on a TLS connection that ends at Vault and shows the
// spoke's SVID, and gets a token for the one credential that the bundle orders, once. Vault makes the role. The token ends with the
// action's deadline, and the credential with it.
//
// Where Vault has to do without Writ's auth method, the spoke logs in by its certificate (Stock), and Vault takes its word for the
// rules: what it may grant at all is then bounded by its own ServiceAccount in the cluster (deploy/spoke) alone.
//
// The engine bounds the pace: it calls a cluster's API server by client-go's default of five calls a second to an API group, so
// that a mount issues 1.25 credentials a second once a burst of two is spent. And the API server's escalation check of the
// binding takes 100 ms, as measured, because Vault's account may not bind what it has not.
//
// The package also signs as the gateway, by a key of Vault's Transit engine (Gateway): there the hub logs in by its own SVID. And it signs
// SVIDs, by a key of Vault's PKI engine (Authority): there the hub logs in by the token of its ServiceAccount.
package vault

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/vault/api"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/credentials"
)

const (
	// least is the shortest life of a ServiceAccount token; revoking the lease ends it sooner.
	least = 10 * time.Minute
	// patience bounds one call to Vault.
	patience = 20 * time.Second
)

// Options says how to reach Vault, and as whom.
type Options struct {
	Address string // https://host:port
	CAFile  string // PEM: what Vault's own certificate is signed by
	Cluster string
	// Certificate returns the spoke's SVID as it is now.
	Certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Stock is for a Vault without Writ's auth method.
	Stock bool
}

// Issuer implements credentials.Issuer. It may be used by several goroutines.
type Issuer struct{ credentials.Issuer }

// Mount is the path of a cluster's own Kubernetes engine.
func Mount(cluster string) string { return "kubernetes-" + cluster }

// New makes an issuer. Vault is not called until the first Issue.
func New(o Options) (*Issuer, error) {
	if o.Stock {
		s, err := newSession(o, "cluster "+o.Cluster, byCertificate(loginName(o.Cluster)))
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		return &Issuer{&stock{session: s, mount: Mount(o.Cluster)}}, nil
	}
	j, err := newJudged(o)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Issuer{j}, nil
}

// RoleOf is the engine's role of one order: its rules and its namespace, nothing else. The annotations tell whoever finds the
// identity in the cluster what it is for.
func RoleOf(o bundle.Order, ttl string) (map[string]any, error) {
	rules, err := json.Marshal(struct {
		Rules []rbacv1.PolicyRule `json:"rules"`
	}{o.Rules})
	if err != nil {
		return nil, fmt.Errorf("rules of %s: %w", o.ID, err)
	}
	return map[string]any{
		"allowed_kubernetes_namespaces": []string{o.Target.Namespace},
		"kubernetes_role_type":          "Role",
		"generated_role_rules":          string(rules),
		"token_default_ttl":             ttl,
		"token_max_ttl":                 ttl,
		"extra_annotations":             map[string]string{"writ.dev/order": o.ID, "writ.dev/request": o.RequestID},
	}, nil
}

// check judges what Vault gave before anybody uses it: it must last until the action's end.
func check(secret *api.Secret, lease *credentials.Lease, namespace string, end time.Time) error {
	token, _ := secret.Data["service_account_token"].(string)
	got, _ := secret.Data["service_account_namespace"].(string)
	switch {
	case token == "":
		return fmt.Errorf("%w: vault's answer holds no token", credentials.ErrRefused)
	case got != namespace:
		return fmt.Errorf("%w: vault answered for namespace %q, wanted %q", credentials.ErrRefused, got, namespace)
	case lease.Expires.Before(end):
		return fmt.Errorf("%w: vault's credential ends %s before the action's time is over", credentials.ErrRefused, end.Sub(lease.Expires).Round(time.Millisecond))
	case time.Until(lease.Expires) > max(time.Until(end), least)+time.Minute:
		return fmt.Errorf("%w: vault's credential lives until %s, asked was until %s, or %s", credentials.ErrRefused,
			lease.Expires.Format(time.RFC3339), end.Format(time.RFC3339), least)
	}
	return nil
}

// nameable is what may stand in a path of Vault, and what its engine takes as a name.
var nameable = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?$`)

// roleName is the engine's role of one bundle.
func roleName(b bundle.Bundle) (string, error) {
	if !nameable.MatchString(b.ID) {
		return "", fmt.Errorf("%w: the bundle's ID is no name of a role", credentials.ErrRefused)
	}
	return RoleName(b.ID), nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int64(d.Seconds())) }
