// Package vault issues credentials by HashiCorp Vault's Kubernetes secrets engine: for each bundle an identity of its own,
// whose Role is made of exactly the rules of the order, in the target's namespace alone, gone once the lease is revoked.
//
// The spoke proves itself to Vault with its SVID (TLS certificate authentication; TLS ends at Vault). Its Vault token reaches
// its own cluster's mount and no other, and there it can ask for nothing but a Role in one namespace. Vault takes the spoke's
// word for the rules: what it may grant at all is bounded by its own ServiceAccount in the cluster (deploy/spoke).
//
// The engine bounds the pace: it calls a cluster's API server by client-go's default of five calls a second to an API group, so
// that a mount issues 1.25 credentials a second once a burst of two is spent. And the API server's escalation check of the
// binding takes 100 ms, as measured, because Vault's account may not bind what it has not.
//
// A credential whose answer got lost, or whose spoke died, ends by itself within ten minutes.
package vault

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/vault/api"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
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
}

// Issuer implements credentials.Issuer. It may be used by several goroutines.
type Issuer struct {
	session *session
	mount   string
}

// Mount is the path of a cluster's own Kubernetes engine.
func Mount(cluster string) string { return "kubernetes-" + cluster }

// New makes an issuer. Vault is not called until the first Issue.
func New(o Options) (*Issuer, error) {
	s, err := newSession(o)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Issuer{session: s, mount: Mount(o.Cluster)}, nil
}

// Issue implements credentials.Issuer. The engine's role exists for as long as this takes.
func (i *Issuer) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	name, err := roleName(v.Decoded().Bundle)
	if err != nil {
		return nil, err
	}
	order, role, ttl := v.Order(), i.mount+"/roles/"+name, seconds(max(life, least))
	definition, err := roleOf(order, ttl)
	if err != nil {
		return nil, err
	}
	if _, err := i.session.write(ctx, life, "making the role of "+order.ID, role, definition); err != nil {
		return nil, err
	}
	secret, err := i.session.write(ctx, life, "issuing the credential of "+order.ID, i.mount+"/creds/"+name,
		map[string]any{"kubernetes_namespace": order.Target.Namespace, "ttl": ttl})
	left := i.remove(ctx, role)
	if err != nil {
		return nil, err
	}
	lease, no := i.lease(secret, left, role)
	if no == nil {
		no = check(secret, lease, order.Target.Namespace, life)
	}
	if no == nil {
		return lease, nil
	}
	if lease != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		no = errors.Join(no, lease.Revoke(ctx))
	}
	return nil, no
}

// roleOf is the engine's role of one order: its rules and its namespace, nothing else. The annotations tell whoever finds the
// identity in the cluster what it is for.
func roleOf(o bundle.Order, ttl string) (map[string]any, error) {
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

// lease is what Vault gave, and how to give it back: the identity is deleted from the cluster, and the role with it where
// that failed before.
func (i *Issuer) lease(secret *api.Secret, left error, role string) (*credentials.Lease, error) {
	if secret == nil || secret.LeaseID == "" {
		return nil, errors.New("vault: the answer holds no lease")
	}
	token, _ := secret.Data["service_account_token"].(string)
	end := i.session.bounded(time.Now().Add(time.Duration(secret.LeaseDuration) * time.Second))
	return credentials.NewLease("vault", secret.LeaseID, token, end, func(ctx context.Context) error {
		_, err := i.session.write(ctx, 0, "revoking a lease", "sys/leases/revoke", map[string]any{"lease_id": secret.LeaseID, "sync": true})
		if left != nil {
			err = errors.Join(err, i.remove(ctx, role))
		}
		return err
	}), nil
}

// check judges what Vault gave before anybody uses it.
func check(secret *api.Secret, lease *credentials.Lease, namespace string, life time.Duration) error {
	token, _ := secret.Data["service_account_token"].(string)
	got, _ := secret.Data["service_account_namespace"].(string)
	ends := time.Until(lease.Expires)
	switch {
	case token == "":
		return fmt.Errorf("%w: vault's answer holds no token", credentials.ErrRefused)
	case got != namespace:
		return fmt.Errorf("%w: vault answered for namespace %q, wanted %q", credentials.ErrRefused, got, namespace)
	case ends < life:
		return fmt.Errorf("%w: vault's credential lives %s, the action may take %s", credentials.ErrRefused, ends.Round(time.Second), life)
	case ends > max(life, least)+time.Minute:
		return fmt.Errorf("%w: vault's credential lives %s, asked were %s", credentials.ErrRefused, ends.Round(time.Second), max(life, least))
	}
	return nil
}

// remove deletes the engine's role, also when whoever asked for the credential has given up.
func (i *Issuer) remove(ctx context.Context, role string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return i.session.delete(ctx, "removing a role", role)
}

// nameable is what may stand in a path of Vault, and what its engine takes as a name.
var nameable = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?$`)

// roleName is the engine's role of one bundle.
func roleName(b bundle.Bundle) (string, error) {
	if !nameable.MatchString(b.ID) {
		return "", fmt.Errorf("%w: the bundle's ID is no name of a role", credentials.ErrRefused)
	}
	return "writ-" + b.ID, nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int64(d.Seconds())) }
