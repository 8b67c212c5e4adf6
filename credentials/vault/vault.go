// Package vault issues credentials by HashiCorp Vault's Kubernetes secrets engine: for each bundle an identity of its own,
// whose Role is made of exactly the rules of the order, in the target's namespace alone, gone once the lease is revoked.
//
// The spoke proves itself to Vault with its SVID (TLS certificate authentication; TLS ends at Vault). Its Vault token reaches
// its own cluster's mount and no other.
package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

const (
	// least is the shortest life of a ServiceAccount token; revoking the lease ends it sooner.
	least = 10 * time.Minute
	// ahead is how long before its end the spoke's own Vault token is replaced.
	ahead = 2 * time.Minute
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

// Issuer implements credentials.Issuer.
type Issuer struct {
	client  *api.Client
	cluster string

	mu    sync.Mutex // guards until; one login at a time
	until time.Time  // the end of the client's token
}

// Mount is the path of a cluster's own Kubernetes engine; login and policy bear names of the same form.
func Mount(cluster string) string { return "kubernetes-" + cluster }

func loginName(cluster string) string { return "writ-" + cluster }

// roleName is the engine's role of one bundle.
func roleName(order bundle.Order) string { return "writ-" + order.ID }

// New makes an issuer. Vault is not called until the first Issue.
func New(o Options) (*Issuer, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("vault: %w", config.Error)
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("vault: %s holds no certificate", o.CAFile)
	}
	config.Address, config.Timeout, config.MaxRetries = o.Address, patience, 0 // the executor tries again, until the action's deadline
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, GetClientCertificate: o.Certificate}
	config.HttpClient = &http.Client{Transport: transport}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	client.ClearToken() // whatever VAULT_TOKEN says
	return &Issuer{client: client, cluster: o.Cluster}, nil
}

// Issue implements credentials.Issuer.
func (i *Issuer) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	if err := i.login(ctx); err != nil {
		return nil, err
	}
	order := v.Order()
	rules, err := json.Marshal(map[string]any{"rules": order.Rules})
	if err != nil {
		return nil, err
	}
	role := Mount(i.cluster) + "/roles/" + roleName(order)
	ttl := fmt.Sprintf("%ds", int64(max(life, least).Seconds()))
	if _, err := i.client.Logical().WriteWithContext(ctx, role, map[string]any{
		"allowed_kubernetes_namespaces": []string{order.Target.Namespace},
		"kubernetes_role_type":          "Role",
		"generated_role_rules":          string(rules),
		"token_default_ttl":             ttl,
		"token_max_ttl":                 ttl,
	}); err != nil {
		return nil, explain("making the role of "+order.ID, err)
	}
	secret, err := i.client.Logical().WriteWithContext(ctx, Mount(i.cluster)+"/creds/"+roleName(order), map[string]any{
		"kubernetes_namespace": order.Target.Namespace,
		"ttl":                  ttl,
	})
	if err != nil {
		return nil, explain("issuing the credential of "+order.ID, err)
	}
	return i.lease(secret, role, order.Target.Namespace)
}

// lease checks what Vault gave before anybody uses it.
func (i *Issuer) lease(secret *api.Secret, role, namespace string) (*credentials.Lease, error) {
	if secret == nil || secret.LeaseID == "" {
		return nil, errors.New("vault: the answer holds no lease")
	}
	token, _ := secret.Data["service_account_token"].(string)
	got, _ := secret.Data["service_account_namespace"].(string)
	end := time.Now().Add(time.Duration(secret.LeaseDuration) * time.Second)
	lease := credentials.NewLease("vault", secret.LeaseID, token, end, func(ctx context.Context) error {
		return i.revoke(ctx, secret.LeaseID, role)
	})
	if token == "" || got != namespace {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("%w: vault answered for namespace %q, wanted %q", credentials.ErrRefused, got, namespace), lease.Revoke(ctx))
	}
	return lease, nil
}

// revoke ends the lease, which deletes the identity from the cluster, and removes the role. Doing it again is no error.
func (i *Issuer) revoke(ctx context.Context, leaseID, role string) error {
	if err := i.login(ctx); err != nil {
		return err
	}
	_, err := i.client.Logical().WriteWithContext(ctx, "sys/leases/revoke", map[string]any{"lease_id": leaseID, "sync": true})
	if err != nil {
		return explain("revoking a lease", err)
	}
	if _, err := i.client.Logical().DeleteWithContext(ctx, role); err != nil {
		return explain("removing a role", err)
	}
	return nil
}

// login trades the SVID for a Vault token, where there is none or it ends soon.
func (i *Issuer) login(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Until(i.until) > ahead {
		return nil
	}
	secret, err := i.client.Logical().WriteWithContext(ctx, "auth/cert/login", map[string]any{"name": loginName(i.cluster)})
	if err != nil {
		return explain("logging in as cluster "+i.cluster, err)
	}
	if secret == nil || secret.Auth == nil {
		return errors.New("vault: the login's answer holds no token")
	}
	i.client.SetToken(secret.Auth.ClientToken)
	i.until = time.Now().Add(time.Duration(secret.Auth.LeaseDuration) * time.Second)
	return nil
}

// explain makes one line of Vault's answer. What is forbidden or malformed stays so; a sealed or unreachable Vault may be back.
func explain(doing string, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("vault: %s: %w", doing, err)
	}
	said := "status " + fmt.Sprint(answer.StatusCode)
	if len(answer.Errors) > 0 {
		said = answer.Errors[0]
	}
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound:
		return fmt.Errorf("%w: vault: %s: %s", credentials.ErrRefused, doing, said)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("vault is sealed or starting: %s: %s", doing, said)
	}
	return fmt.Errorf("vault: %s: %s", doing, said)
}
