package vaultauth

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/errgroup"

	"github.com/writ-dev/writ/credentials/vault"
)

const (
	handsPath = "hands"
	// handsLife is of the tokens by which the method works. They are batch tokens: nothing of them is stored.
	handsLife = 10 * time.Minute
	// reach bounds what the method does in Vault for one login, and how long it can hold up a sealing.
	reach = 5 * time.Second
)

// hands are how the method writes roles and policies: a plugin has no way into the engines of its Vault but Vault's own door. It
// logs in to itself, by a secret that never leaves Vault's storage but to itself, as a policy that may make the roles and grants of
// one cluster.
type hands struct {
	mu     sync.Mutex
	client *api.Client
	tokens map[string]handToken // by cluster
}

type handToken struct {
	value string
	until time.Time
}

func newHands() *hands { return &hands{tokens: map[string]handToken{}} }

// forget drops what was had under an earlier configuration.
func (h *hands) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.client, h.tokens = nil, map[string]handToken{}
}

// newClient reaches the Vault that the method is part of, and knows nothing of Vault's environment variables.
func newClient(c config) (*api.Client, error) {
	pool := x509.NewCertPool()
	switch {
	case !strings.HasPrefix(c.Address, "https://"):
		return nil, errors.New("vault_address: https://host:port of this Vault is needed")
	case !pool.AppendCertsFromPEM([]byte(c.CA)):
		return nil, errors.New("vault_ca: it holds no certificate")
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: 90 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: c.ServerName}}
	client, err := api.NewClient(&api.Config{Address: c.Address, HttpClient: &http.Client{Transport: transport}, Timeout: reach, DisableRedirects: true})
	if err != nil {
		return nil, err
	}
	client.ClearNamespace()
	client.ClearToken()
	return client, nil
}

// prepare makes the engine's role, and the policy of the grant.
func (h *hands) prepare(ctx context.Context, s logical.Storage, c config, g grant) error {
	path, definition, err := g.definition()
	if err != nil {
		return err
	}
	return h.work(ctx, s, c, g.cluster, func(ctx context.Context, client *api.Client) error {
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() error {
			_, err := client.Logical().WriteWithContext(ctx, path, definition)
			return err
		})
		both.Go(func() error { return client.Sys().PutPolicyWithContext(ctx, g.policy, g.rules()) })
		return both.Wait()
	})
}

// clear ends what was issued for a grant, and takes back what prepare made, in the engine where the cluster's roles are now: with another
// one, its roles have gone. Clearing it again is no error.
func (h *hands) clear(ctx context.Context, s logical.Storage, c config, r record, engine string) error {
	return h.work(ctx, s, c, r.Cluster, func(ctx context.Context, client *api.Client) error {
		var policy, role, leases error
		var all sync.WaitGroup // each to its end: one that fails keeps no other from being done
		all.Go(func() { policy = client.Sys().DeletePolicyWithContext(ctx, r.Policy) })
		if r.Mount == engine {
			all.Go(func() { _, role = client.Logical().DeleteWithContext(ctx, rolePath(r.Mount, r.Role)) })
		}
		if r.Mount == engine && engine != vault.OIDCEngine {
			all.Go(func() { leases = client.Sys().RevokePrefixWithContext(ctx, r.Mount+"/creds/"+r.Role) })
		}
		all.Wait()
		return errors.Join(policy, role, leases)
	})
}

// work does something as the hands of a cluster; once more with a new token where Vault takes the old one no longer.
func (h *hands) work(ctx context.Context, s logical.Storage, c config, cluster string, do func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	for again := false; ; again = true {
		client, err := h.login(ctx, s, c, cluster, again)
		if err != nil {
			return fmt.Errorf("logging in to %s for itself: %w", c.Address, err)
		}
		err = do(ctx, client)
		var answer *api.ResponseError
		if again || !errors.As(err, &answer) || answer.StatusCode != http.StatusForbidden {
			return err
		}
	}
}

// login returns a client with a token that lives long enough.
func (h *hands) login(ctx context.Context, s logical.Storage, c config, cluster string, anew bool) (*api.Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.client == nil {
		client, err := newClient(c)
		if err != nil {
			return nil, err
		}
		h.client = client
	}
	token := h.tokens[cluster]
	if anew || time.Until(token.until) < reach {
		secret, err := s.Get(ctx, secretKey)
		if err != nil {
			return nil, err
		}
		if secret == nil {
			return nil, errors.New("no secret: write the configuration again")
		}
		answer, err := h.client.Logical().WriteWithContext(ctx, c.Mount+handsPath, map[string]any{"cluster": cluster, "secret": string(secret.Value)})
		if err != nil {
			return nil, err
		}
		if answer == nil || answer.Auth == nil {
			return nil, errors.New("the answer holds no token")
		}
		token = handToken{answer.Auth.ClientToken, time.Now().Add(time.Duration(answer.Auth.LeaseDuration) * time.Second)}
		h.tokens[cluster] = token
	}
	client, err := h.client.CloneWithHeaders() // it shares the connections
	if err == nil {
		client.SetToken(token.value)
	}
	return client, err
}

func (b *backend) pathHands() *framework.Path {
	return &framework.Path{
		Pattern: handsPath + "$",
		Fields: map[string]*framework.FieldSchema{
			"cluster": {Type: framework.TypeString, Description: "The cluster."},
			"secret":  {Type: framework.TypeString, Description: "What only this auth method knows.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.lendHands},
		},
		HelpSynopsis: "How this auth method logs in to its own Vault; for nobody else.",
	}
}

// lendHands gives the method itself, and nobody else, a token that makes roles and grants of one cluster.
func (b *backend) lendHands(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	cluster := d.Get("cluster").(string)
	secret, err := req.Storage.Get(ctx, secretKey)
	if err != nil {
		return nil, err
	}
	if secret == nil || len(secret.Value) == 0 || subtle.ConstantTimeCompare(secret.Value, []byte(d.Get("secret").(string))) != 1 || !label.MatchString(cluster) {
		return nil, logical.ErrPermissionDenied
	}
	return &logical.Response{Auth: &logical.Auth{Policies: []string{vault.HandsPolicy(cluster)}, NoDefaultPolicy: true, DisplayName: "writ-hands-" + cluster,
		Alias: &logical.Alias{Name: "hands"}, TokenType: logical.TokenTypeBatch,
		LeaseOptions: logical.LeaseOptions{TTL: handsLife, MaxTTL: handsLife}}}, nil
}
