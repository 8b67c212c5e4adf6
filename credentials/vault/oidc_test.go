package vault_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// newOIDC is a cluster whose API server Vault has no way to, and which takes Vault's word.
func newOIDC(t testing.TB) *scene {
	t.Helper()
	s := &scene{Scene: credentialstest.NewIn(t, worldtest.Cluster(t, cluster.Options{Name: "vouched"}), spoke.Options{OIDC: true}),
		vault: worldtest.Vault(t), oidc: true, host: "https://192.0.2.1:6443"}
	var err error
	s.root, err = s.vault.Client(s.vault.RootToken())
	require.NoError(t, err)
	s.ca, err = identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	s.setup(t, "east")
	authority, err := os.ReadFile(s.vault.CACert())
	require.NoError(t, err)
	config, err := vault.Authentication(t.Context(), s.root, domain.Name(), "east", authority)
	require.NoError(t, err)
	require.NoError(t, s.Cluster.Authenticate(config))
	return s
}

// vouching is the issuer of a cluster's spoke.
func (s *scene) vouching(t testing.TB, cluster string) *vault.OIDC {
	t.Helper()
	own, err := tokenrequest.New(s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount))
	require.NoError(t, err)
	i, err := vault.NewOIDC(vault.Options{Address: s.vault.Address(), CAFile: s.vault.CACert(), Cluster: cluster,
		Certificate: identity.NewSource(svid(t, s.ca, clusterID(t, cluster)), s.ca.Authorities()).ClientCertificate}, own)
	require.NoError(t, err)
	return i
}

// known waits until the API server has read whom to believe, and returns a client that is the action.
func (s *scene) known(t testing.TB, lease *credentials.Lease) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(lease.RESTConfig(s.Anonymous()))
	require.NoError(t, err)
	worldtest.Eventually(t, "the API server to take Vault's word", func(ctx context.Context) error {
		_, err := client.Discovery().ServerVersion()
		return err
	})
	return client
}

// accounts are those of actions in the cluster.
func (s *scene) accounts(t testing.TB) (names []string) {
	t.Helper()
	list, err := s.Admin.CoreV1().ServiceAccounts(tokenrequest.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, account := range list.Items {
		names = append(names, account.Name)
	}
	return names
}

func TestVaultVouchesForAnActionInAClusterThatItCannotReach(t *testing.T) {
	s := newOIDC(t)
	before, accounts := s.Identities(t.Context(), t, s.Allowed), s.accounts(t)
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	account, err := tokenrequest.AccountOf(v.Decoded())
	require.NoError(t, err)
	lease, err := s.issued(t, v)
	require.NoError(t, err)
	require.Equal(t, "oidc:"+s.Allowed+"/"+account, lease.String())
	require.WithinDuration(t, time.Now().Add(life), lease.Expires, 3*time.Second)
	client := s.known(t, lease)
	who := credentialstest.WhoAmI(t, client)
	require.Equal(t, "system:serviceaccount:"+tokenrequest.Namespace+":"+account, who.Username)
	require.ElementsMatch(t, []string{"system:serviceaccounts:" + tokenrequest.Namespace, "system:authenticated"}, who.Groups)
	require.NoError(t, scale(t.Context(), client, s.Allowed, credentialstest.Checkout))
	s.MayNothingElse(t, lease.RESTConfig(s.Anonymous()))

	require.NoError(t, lease.Revoke(t.Context()))
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
	require.Equal(t, accounts, s.accounts(t))
	worldtest.Eventually(t, "the credential to be worth nothing", func(ctx context.Context) error {
		if err := scale(ctx, client, s.Allowed, credentialstest.Checkout); !apierrors.IsForbidden(err) {
			return fmt.Errorf("got %w, want forbidden", err)
		}
		return nil
	})
	require.NoError(t, lease.Revoke(t.Context()), "revoking is repeatable")
	_, err = s.vouching(t, "east").Issue(t.Context(), v, life)
	require.ErrorIs(t, err, credentials.ErrRefused)
	require.ErrorContains(t, err, "was used at")
	oneLine(t, err)
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
}

// A spoke that was taken over has the token of a bundle. By it Vault vouches for the one action that the bundle orders, and for nothing else.
func TestVaultVouchesForOneActionAlone(t *testing.T) {
	s := newOIDC(t)
	s.setup(t, "west")
	mine, other := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), s.Verified(t, "rollback", s.Allowed, `{"revision":1}`)
	client, auth := s.shows(t, "east", mine, 0)
	_, _ = s.shows(t, "east", other, 0)
	token := func(cluster, id string) string { return vault.OIDCEngine + "/token/" + vault.OIDCRole(cluster, id) }
	own, role := token("east", mine.Decoded().Bundle.ID), vault.OIDCEngine+"/role/"+vault.OIDCRole("east", mine.Decoded().Bundle.ID)
	for name, path := range map[string]string{
		"another bundle's":  token("east", other.Decoded().Bundle.ID),
		"another cluster's": token("west", mine.Decoded().Bundle.ID),
		"its role":          role, "its policy": "sys/policies/acl/" + auth.Policies[0], "the key": vault.OIDCEngine + "/key/" + vault.OIDCKey("east"),
		"the engine's credential": "kubernetes-east/creds/" + vault.RoleName(mine.Decoded().Bundle.ID),
	} {
		_, err := client.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", name)
	}
	for name, data := range map[string]map[string]any{
		"another account": {"key": vault.OIDCKey("east"), "template": `{"` + vault.Claim + `":"0123456789abcdef.scale.deployments.payment"}`},
		"a longer life":   {"key": vault.OIDCKey("east"), "ttl": "24h"},
	} {
		_, err := client.Logical().WriteWithContext(t.Context(), role, data)
		require.ErrorContains(t, err, "permission denied", name)
	}
	secret, err := client.Logical().ReadWithContext(t.Context(), own)
	require.NoError(t, err)
	require.Equal(t, json.Number("60"), secret.Data["ttl"])
	s.endGrant(t, "east", mine)
	_, err = client.Logical().ReadWithContext(t.Context(), own)
	require.ErrorContains(t, err, "permission denied", "its grant has ended")
}

// What the API server takes is a token of this very cluster, of an account of an action, that lives a minute; and without a binding it is
// worth nothing, nor is a binding without it.
func TestTheAPIServerTakesNothingElseOfVaults(t *testing.T) {
	s := newOIDC(t)
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	lease, err := s.issued(t, v)
	require.NoError(t, err)
	s.known(t, lease)
	account, err := tokenrequest.AccountOf(v.Decoded())
	require.NoError(t, err)
	require.NoError(t, lease.Revoke(t.Context()))
	shown := func(key, audience, ttl, template string) error {
		_, err := s.root.Logical().WriteWithContext(t.Context(), vault.OIDCEngine+"/key/forged", map[string]any{"allowed_client_ids": "*", "algorithm": "ES256"})
		require.NoError(t, err)
		_, err = s.root.Logical().WriteWithContext(t.Context(), vault.OIDCEngine+"/role/forged", map[string]any{"key": key, "client_id": audience, "ttl": ttl, "template": template})
		require.NoError(t, err)
		client, auth := s.shows(t, "east", s.Verified(t, "scale", s.Allowed, `{"replicas":5}`), 0)
		_, err = s.root.Logical().WriteWithContext(t.Context(), "sys/policies/acl/"+auth.Policies[0],
			map[string]any{"policy": `path "identity/oidc/token/forged" { capabilities = ["read"] }`})
		require.NoError(t, err)
		secret, err := client.Logical().ReadWithContext(t.Context(), vault.OIDCEngine+"/token/forged")
		require.NoError(t, err)
		config := s.Anonymous()
		config.BearerToken = secret.Data["token"].(string)
		kube, err := kubernetes.NewForConfig(config)
		require.NoError(t, err)
		return scale(t.Context(), kube, s.Allowed, credentialstest.Checkout)
	}
	claim := func(account string) string { return `{"` + vault.Claim + `":"` + account + `"}` }
	audience := "spiffe://" + domain.Name() + "/cluster/east"
	require.True(t, apierrors.IsForbidden(shown("forged", audience, "60s", claim(account))), "it is known, and has no binding any more")
	for name, err := range map[string]error{
		"another cluster's": shown("forged", "spiffe://"+domain.Name()+"/cluster/west", "60s", claim(account)),
		"a longer life":     shown("forged", audience, "120s", claim(account)),
		"no account":        shown("forged", audience, "60s", `{"other":"x"}`),
		"another account":   shown("forged", audience, "60s", claim("default")),
		"more than a name":  shown("forged", audience, "60s", `{"`+vault.Claim+`":["`+account+`"]}`),
	} {
		require.True(t, apierrors.IsUnauthorized(err), "%s: %v", name, err)
	}

	own := s.Account(t, spoke.SystemNamespace, tokenrequest.Binder)
	binder, err := kubernetes.NewForConfig(own)
	require.NoError(t, err)
	again := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	local, err := tokenrequest.New(s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount))
	require.NoError(t, err)
	require.NoError(t, local.Bind(t.Context(), again))
	t.Cleanup(func() { _ = local.End(context.Background(), local.Foretell(again)) })
	account, err = tokenrequest.AccountOf(again.Decoded())
	require.NoError(t, err)
	_, err = binder.CoreV1().ServiceAccounts(tokenrequest.Namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.True(t, apierrors.IsForbidden(err), "who binds gets no token: %v", err)
	_, err = local.Issue(t.Context(), again, life)
	require.ErrorIs(t, err, credentials.ErrRefused)
}

// An action that takes longer than a token lives goes on with another one.
func TestAnActionOutlivesItsTokens(t *testing.T) {
	s := newOIDC(t)
	i := s.vouching(t, "east")
	i.ReplaceEarlier(time.Minute) // at once
	lease, err := s.issuedBy(t, i, s.Verified(t, "scale", s.Allowed, `{"replicas":4}`))
	require.NoError(t, err)
	s.known(t, lease)
	var shown []string
	config := lease.RESTConfig(s.Anonymous())
	show := config.WrapTransport
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return show(roundTripper(func(r *http.Request) (*http.Response, error) {
			shown = append(shown, r.Header.Get("Authorization"))
			return next.RoundTrip(r)
		}))
	}
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	require.NoError(t, scale(t.Context(), client, s.Allowed, credentialstest.Checkout))
	worldtest.Eventually(t, "a token of another second", func(ctx context.Context) error {
		if err := scale(ctx, client, s.Allowed, credentialstest.Checkout); err != nil || shown[len(shown)-1] == shown[0] {
			return fmt.Errorf("the same token, or %w", err)
		}
		return nil
	})
	require.NoError(t, lease.Revoke(t.Context()))
	require.True(t, apierrors.IsForbidden(scale(t.Context(), client, s.Allowed, credentialstest.Checkout)))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// issued is a credential, once the binder's rights are in force.
func (s *scene) issued(t testing.TB, v trust.Verified) (*credentials.Lease, error) {
	t.Helper()
	return s.issuedBy(t, s.vouching(t, "east"), v)
}

func (s *scene) issuedBy(t testing.TB, i *vault.OIDC, v trust.Verified) (lease *credentials.Lease, err error) {
	t.Helper()
	worldtest.Eventually(t, "the binder's rights to be in force", func(ctx context.Context) error {
		lease, err = i.Issue(ctx, v, life)
		return err
	})
	return lease, err
}
