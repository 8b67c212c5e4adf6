package vault_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/identity"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// signing is a hub's CA and a Vault of which the hub may sign by a key of the test's own.
type signing struct {
	vault *worldvault.Server
	root  *api.Client
	ca    *identity.CA
	key   vault.TransitKey
}

func newSigning(t testing.TB, server *worldvault.Server) *signing {
	t.Helper()
	s := &signing{vault: server}
	var err error
	s.root, err = server.Client(server.RootToken())
	require.NoError(t, err)
	s.ca, err = identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	s.key, err = vault.ParseTransitKey("transit/" + strings.ReplaceAll(t.Name(), "/", "-"))
	require.NoError(t, err)
	return s
}

func (s *signing) make(t testing.TB, next bool) ed25519.PublicKey {
	t.Helper()
	public, _, err := vault.MakeGatewayKey(t.Context(), s.root, s.key, next)
	require.NoError(t, err)
	return public
}

func (s *signing) admit(t testing.TB) {
	t.Helper()
	steps, err := vault.GatewayPlan(t.Context(), s.root, s.key, domain.Name(), s.ca.Authorities().PEM())
	require.NoError(t, err)
	require.NoError(t, vault.Do(t.Context(), "the gateway", steps))
}

// certificate is the hub's.
func (s *signing) certificate(t testing.TB) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return identity.NewSource(svid(t, s.ca, identity.Hub(domain)), s.ca.Authorities()).ClientCertificate
}

func (s *signing) gateway(t testing.TB, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) *vault.Gateway {
	t.Helper()
	g, err := vault.NewGateway(vault.Options{Address: s.vault.Address(), CAFile: s.vault.CACert(), Certificate: certificate}, s.key)
	require.NoError(t, err)
	return g
}

// login is a client with the token that Vault gives the hub.
func (s *signing) login(t testing.TB) *api.Client {
	t.Helper()
	client, err := s.vault.Client("")
	require.NoError(t, err)
	client.CloneConfig().HttpClient.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = s.certificate(t)
	secret, err := client.Logical().WriteWithContext(t.Context(), "auth/cert/login", map[string]any{"name": "writ.gateway"})
	require.NoError(t, err)
	require.Equal(t, []string{"writ.gateway"}, secret.Auth.Policies, "not even what everybody may")
	client.SetToken(secret.Auth.ClientToken)
	return client
}

func read(t testing.TB, g *vault.Gateway) []*bundle.Key {
	t.Helper()
	keys, err := g.Read(t.Context())
	require.NoError(t, err)
	return keys
}

// A bundle that Vault signed is one to every spoke: the kernel that they judge by takes it.
func TestVaultSignsAsTheGateway(t *testing.T) {
	s := newSigning(t, worldtest.Vault(t))
	first := s.make(t, false)
	require.Equal(t, first, s.make(t, false), "made once")
	s.admit(t)
	g := s.gateway(t, s.certificate(t))
	f := signedBy(t, read(t, g)[0])
	f.Verified(f.Order())

	second := s.make(t, true)
	require.NotEqual(t, first, second)
	keys := read(t, g)
	require.Len(t, keys, 2, "both versions sign")
	require.Equal(t, []any{second, first}, []any{keys[0].Public(), keys[1].Public()}, "the newest first")
	f.Verified(f.Order()) // by the first one still: the trust root names it
	f = signedBy(t, keys[0])
	f.Verified(f.Order())
	require.Error(t, keys[1].Verify(t.Context(), []byte("x"), sign(t, keys[0], "x")), "each is a key of its own")

	_, err := s.root.Logical().WriteWithContext(t.Context(), "transit/keys/"+t.Name()+"/config", map[string]any{"min_encryption_version": 2})
	require.NoError(t, err)
	require.Equal(t, second, read(t, g)[0].Public())
	require.Len(t, read(t, g), 1, "a version by which Vault signs no more")
}

func sign(t testing.TB, key *bundle.Key, data string) []byte {
	t.Helper()
	sig, err := key.Sign(t.Context(), []byte(data))
	require.NoError(t, err)
	return sig
}

// signedBy is a trust domain whose gateway's key is the one given.
func signedBy(t testing.TB, key *bundle.Key) *trusttest.Fixture {
	t.Helper()
	f := trusttest.New(t)
	public := key.Public().(ed25519.PublicKey)
	draft := f.Draft(1)
	draft.Keys[trust.RoleGateway] = []ed25519.PublicKey{public}
	var err error
	f.Root, err = trust.ParseRoot(f.Sign(draft), f.Now)
	require.NoError(t, err)
	id, err := trust.KeyID(public)
	require.NoError(t, err)
	f.Gateway = key.Named(id)
	return f
}

// While Vault is sealed nothing is signed, the error says so in one line, and the same key signs once it is open again.
func TestASealedVaultSignsNothing(t *testing.T) {
	s := newSigning(t, worldtest.Vault(t))
	s.make(t, false)
	s.admit(t)
	g := s.gateway(t, s.certificate(t))
	key := read(t, g)[0]
	sign(t, key, "before")
	require.NoError(t, s.vault.Seal(t.Context()))
	t.Cleanup(func() { _ = s.vault.Unseal(context.Background()) })
	sig, err := key.Sign(t.Context(), []byte("sealed"))
	require.Empty(t, sig)
	away(t, err, "vault is sealed or starting: signing by transit/"+t.Name())
	_, err = g.Read(t.Context())
	away(t, err, "vault is sealed")
	require.NoError(t, s.vault.Unseal(t.Context()))
	require.NoError(t, key.Verify(t.Context(), []byte("after"), sign(t, key, "after")))
}

func away(t testing.TB, err error, says string) {
	t.Helper()
	require.ErrorIs(t, err, bundle.ErrAway)
	require.ErrorContains(t, err, says)
	require.NotContains(t, err.Error(), "\n")
}

// Whoever is not the hub, or is no longer let in, gets no signature.
func TestVaultSignsForTheHubAlone(t *testing.T) {
	s := newSigning(t, worldtest.Vault(t))
	s.make(t, false)
	s.admit(t)
	g := s.gateway(t, s.certificate(t))
	key := read(t, g)[0]
	sign(t, key, "x")

	spoke := identity.NewSource(svid(t, s.ca, clusterID(t, "east")), s.ca.Authorities()).ClientCertificate
	_, err := s.gateway(t, spoke).Read(t.Context())
	away(t, err, "logging in as the hub")
	other, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	_, err = s.gateway(t, identity.NewSource(svid(t, other, identity.Hub(domain)), other.Authorities()).ClientCertificate).Read(t.Context())
	away(t, err, "logging in as the hub")

	_, err = s.root.Logical().WriteWithContext(t.Context(), "sys/policies/acl/writ.gateway", map[string]any{"policy": `path "transit/keys/*" { capabilities = ["read"] }`})
	require.NoError(t, err)
	_, err = key.Sign(t.Context(), []byte("x"))
	away(t, err, "signing by transit/"+t.Name()+": 1 error occurred: * permission denied")
	s.admit(t)
	sign(t, key, "again")
}

// The hub may sign by its key, read its public half, and nothing else.
func TestTheHubMayDoNothingElseInVault(t *testing.T) {
	s := newSigning(t, worldtest.Vault(t))
	s.make(t, false)
	s.admit(t)
	name := t.Name()
	hub := s.login(t)
	_, err := s.root.Logical().WriteWithContext(t.Context(), "transit/keys/"+name+"-other", map[string]any{"type": "ed25519"})
	require.NoError(t, err)
	input := map[string]any{"input": base64.StdEncoding.EncodeToString([]byte("x"))}
	for path, data := range map[string]map[string]any{
		"transit/sign/" + name + "-other":           input,
		"transit/sign/" + name + "/sha2-512":        input,
		"transit/keys/" + name:                      {"type": "ed25519"},
		"transit/keys/" + name + "/rotate":          nil,
		"transit/keys/" + name + "/config":          {"exportable": true},
		"transit/keys/" + name + "/trim":            {"min_available_version": 1},
		"transit/encrypt/" + name:                   input,
		"transit/hmac/" + name:                      input,
		"auth/cert/certs/writ.gateway":              {"token_policies": "root"},
		"sys/policies/acl/writ.gateway":             {"policy": ""},
		"auth/token/create":                         nil,
		"transit/wrapping_key":                      nil,
		"transit/byok-export/" + name + "/" + name:  nil,
		"transit/restore/" + name + "-another":      {"backup": "x"},
		"transit/datakey/plaintext/" + name:         nil,
		"transit/verify/" + name:                    input,
		"transit/export/signing-key/" + name + "/1": nil,
	} {
		_, err := hub.Logical().WriteWithContext(t.Context(), path, data)
		require.ErrorContains(t, err, "permission denied", path)
	}
	for _, path := range []string{"transit/export/signing-key/" + name, "transit/backup/" + name, "transit/keys", "transit/keys/" + name + "-other", "sys/mounts"} {
		_, err := hub.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", path)
	}
	_, err = hub.Logical().WriteWithContext(t.Context(), "transit/sign/"+name, input)
	require.NoError(t, err)
}

// Nobody gets the key out of Vault, root included; and a key that could be got is none to the hub.
func TestTheKeyCannotBeTakenOutOfVault(t *testing.T) {
	s := newSigning(t, worldtest.Vault(t))
	s.make(t, false)
	s.admit(t)
	for _, path := range []string{"transit/export/signing-key/" + t.Name(), "transit/backup/" + t.Name()} {
		_, err := s.root.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "not", path)
	}
	for name, tc := range map[string]struct {
		data map[string]any
		says string
	}{
		"exportable": {map[string]any{"type": "ed25519", "exportable": true}, "can be taken out of it"},
		"backup":     {map[string]any{"type": "ed25519", "allow_plaintext_backup": true}, "can be taken out of it"},
		"derived":    {map[string]any{"type": "ed25519", "derived": true}, "derived"},
		"other":      {map[string]any{"type": "ecdsa-p256"}, "of type ecdsa-p256, wanted ed25519"},
		"none":       {nil, "vault has no key"},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			said := "transit/" + strings.ReplaceAll(t.Name(), "/", "-")
			var err error
			s.key, err = vault.ParseTransitKey(said)
			require.NoError(t, err)
			if tc.data != nil {
				_, err = s.root.Logical().WriteWithContext(t.Context(), strings.Replace(said, "/", "/keys/", 1), tc.data)
				require.NoError(t, err)
				_, _, err = vault.MakeGatewayKey(t.Context(), s.root, s.key, true)
				require.ErrorIs(t, err, vault.ErrKey)
			}
			s.admit(t)
			_, err = s.gateway(t, s.certificate(t)).Read(t.Context())
			require.ErrorIs(t, err, vault.ErrKey)
			require.NotErrorIs(t, err, bundle.ErrAway)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestWhatIsNoKeyOfTransit(t *testing.T) {
	for _, said := range []string{"", "writ-gateway", "/writ-gateway", "transit/", "transit//x", "transit/*", "transit/../x", "transit/a b", "transit/+"} {
		_, err := vault.ParseTransitKey(said)
		require.ErrorContains(t, err, "say MOUNT/NAME", said)
	}
	key, err := vault.ParseTransitKey("team/transit/writ-gateway")
	require.NoError(t, err)
	require.Equal(t, "team/transit/writ-gateway", key.String())
}
