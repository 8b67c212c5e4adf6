package vault_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/identity"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

const hubIssuer = "https://hub.test.writ.dev"

// keeping is a Vault that keeps the hub's CA, at a mount of the test's own, and the key that signs the tokens of the hub's cluster.
type keeping struct {
	vault   *worldvault.Server
	root    *api.Client
	options vault.AuthorityOptions
	key     *ecdsa.PrivateKey
	token   string // the file with the hub's token
}

func newKeeping(t testing.TB, server *worldvault.Server) *keeping {
	t.Helper()
	k := &keeping{vault: server, token: filepath.Join(t.TempDir(), "token")}
	var err error
	k.root, err = server.Client(server.RootToken())
	require.NoError(t, err)
	k.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(k.key.Public())
	require.NoError(t, err)
	k.options = vault.AuthorityOptions{Mount: "writ-ca/" + t.Name(), TrustDomain: domain.Name(), Life: time.Hour, Issuer: hubIssuer,
		Keys: []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}}
	k.setup(t)
	k.show(t, k.key, vault.HubSubject, vault.HubAudience, time.Hour)
	return k
}

func (k *keeping) setup(t testing.TB) {
	t.Helper()
	steps, err := vault.AuthorityPlan(t.Context(), k.root, k.options)
	require.NoError(t, err)
	require.NoError(t, vault.Do(t.Context(), "the authority", steps))
}

// next has Vault make the next authority; it refuses one that would begin in the same second as the one before.
func (k *keeping) next(t testing.TB) {
	t.Helper()
	o := k.options
	o.Next = true
	require.Eventually(t, func() bool {
		steps, err := vault.AuthorityPlan(t.Context(), k.root, o)
		require.NoError(t, err)
		err = vault.Do(t.Context(), "the authority", steps)
		if err != nil {
			require.ErrorContains(t, err, "was made a moment ago: say it again")
		}
		return err == nil
	}, 10*time.Second, 100*time.Millisecond)
}

// show writes the token that the hub shows, as an API server would sign it.
func (k *keeping) show(t testing.TB, key crypto.Signer, subject, audience string, life time.Duration) {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	require.NoError(t, err)
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: hubIssuer, Subject: subject, Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life))}).Serialize()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(k.token, []byte(token+"\n"), 0o600))
}

func (k *keeping) authority(t testing.TB) *vault.Authority {
	t.Helper()
	a, err := vault.NewAuthority(vault.Options{Address: k.vault.Address(), CAFile: k.vault.CACert()}, k.options.Mount, k.token)
	require.NoError(t, err)
	return a
}

func (k *keeping) ca(t testing.TB, dir string) *identity.CA {
	t.Helper()
	ca, err := identity.OpenCA(t.Context(), dir, domain, k.authority(t), time.Now())
	require.NoError(t, err)
	return ca
}

// login is a client with the token that Vault gives the hub.
func (k *keeping) login(t testing.TB) *api.Client {
	t.Helper()
	client, err := k.vault.Client("")
	require.NoError(t, err)
	token, err := os.ReadFile(k.token)
	require.NoError(t, err)
	secret, err := client.Logical().WriteWithContext(t.Context(), "auth/writ-hub/login", map[string]any{"role": "writ.authority", "jwt": strings.TrimSpace(string(token))})
	require.NoError(t, err)
	require.Equal(t, []string{"writ.authority"}, secret.Auth.Policies, "not even what everybody may")
	require.Equal(t, 1800, secret.Auth.LeaseDuration)
	client.SetToken(secret.Auth.ClientToken)
	return client
}

// issuers are the IDs of what the mount has.
func (k *keeping) issuers(t testing.TB) []any {
	t.Helper()
	secret, err := k.root.Logical().ListWithContext(t.Context(), k.options.Mount+"/issuers")
	require.NoError(t, err)
	return secret.Data["keys"].([]any)
}

// An SVID that Vault signed is what the hub's own CA would have made: field by field, and for whoever verifies it.
func TestVaultSignsSVIDs(t *testing.T) {
	k := newKeeping(t, worldtest.Vault(t))
	k.setup(t) // again
	require.Len(t, k.issuers(t), 1, "made once")
	ca := k.ca(t, t.TempDir())
	file, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	ours, theirs := parse(t, file.Authorities().PEM()), parse(t, ca.Authorities().PEM())
	require.Equal(t, ours.Subject, theirs.Subject)
	require.Equal(t, ours.URIs, theirs.URIs)
	require.Equal(t, ours.KeyUsage, theirs.KeyUsage)
	require.Equal(t, []any{ours.PermittedURIDomains, ours.PermittedDNSDomains, ours.MaxPathLenZero}, []any{theirs.PermittedURIDomains, theirs.PermittedDNSDomains, theirs.MaxPathLenZero})
	require.Equal(t, ours.NotAfter.Sub(ours.NotBefore), theirs.NotAfter.Sub(theirs.NotBefore))

	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p256, err := identity.GenerateKey()
	require.NoError(t, err)
	operator, err := identity.Operator(domain, "oidc:sam@example.org")
	require.NoError(t, err)
	for _, key := range []crypto.Signer{p256, p384, ed} {
		for id, enrolment := range map[spiffeid.ID]string{clusterID(t, "east"): "7", identity.Hub(domain): "", operator: ""} {
			asked := request(t, key)
			of := func(ca *identity.CA) *x509.Certificate {
				chain, err := ca.Issue(t.Context(), enrolment, asked, id, time.Now(), time.Hour)
				require.NoError(t, err)
				require.Len(t, chain, 1)
				leaf, err := x509.ParseCertificate(chain[0])
				require.NoError(t, err)
				return leaf
			}
			ours, theirs := of(file), of(ca)
			require.Equal(t, ours.Subject.String(), theirs.Subject.String())
			require.Equal(t, ours.URIs, theirs.URIs)
			require.Equal(t, ours.DNSNames, theirs.DNSNames)
			require.Equal(t, ours.PublicKey, theirs.PublicKey)
			require.Equal(t, []any{ours.KeyUsage, ours.IsCA, ours.BasicConstraintsValid}, []any{theirs.KeyUsage, theirs.IsCA, theirs.BasicConstraintsValid})
			require.ElementsMatch(t, ours.ExtKeyUsage, theirs.ExtKeyUsage)
			require.Empty(t, slices.Concat(theirs.EmailAddresses, theirs.OCSPServer, theirs.IssuingCertificateURL, theirs.CRLDistributionPoints))
			require.InDelta(t, ours.NotAfter.Sub(ours.NotBefore).Seconds(), theirs.NotAfter.Sub(theirs.NotBefore).Seconds(), 2)
			require.Equal(t, ca.Signer(), identity.AuthorityOf(theirs))
			got, err := ca.Authorities().Verify([]*x509.Certificate{theirs}, time.Now())
			require.NoError(t, err)
			require.Equal(t, id, got)
		}
	}
}

func parse(t testing.TB, raw []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(raw)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

// request asks for much; only the key counts.
func request(t testing.TB, key crypto.Signer) *identity.Requested {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "west", SerialNumber: "99"},
		URIs: []*url.URL{clusterID(t, "west").URL()}, DNSNames: []string{"hub." + domain.Name()}, IPAddresses: []net.IP{net.IPv6loopback},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}}, key)
	require.NoError(t, err)
	asked, err := identity.ReadRequest(csr)
	require.NoError(t, err)
	return asked
}

// The hub's token gets SVIDs of its trust domain, for as long as an SVID lives, and nothing else of Vault.
func TestTheHubMayHaveNothingElseSigned(t *testing.T) {
	k := newKeeping(t, worldtest.Vault(t))
	k.next(t)
	hub, mount := k.login(t), k.options.Mount
	before, issuer := k.issuers(t), k.issuers(t)[0].(string)
	key, err := identity.GenerateKey()
	require.NoError(t, err)
	der, err := identity.Request(key)
	require.NoError(t, err)
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	asked := func(uri string, also ...string) map[string]any {
		data := map[string]any{"csr": csr, "common_name": "east", "uri_sans": uri, "ttl": "1h", "exclude_cn_from_sans": "true"}
		for i := 0; i < len(also); i += 2 {
			if data[also[i]] = also[i+1]; also[i+1] == "" {
				delete(data, also[i])
			}
		}
		return data
	}
	east := "spiffe://" + domain.Name() + "/cluster/east"
	sign := mount + "/issuer/" + issuer + "/sign/writ-"
	for name, c := range map[string]struct {
		path string
		data map[string]any
	}{
		"another trust domain":       {sign + "cluster", asked("spiffe://other.test/cluster/east")},
		"an agent":                   {sign + "cluster", asked("spiffe://" + domain.Name() + "/agent/x")},
		"the hub, as a cluster":      {sign + "cluster", asked("spiffe://" + domain.Name() + "/hub")},
		"a cluster, as the hub":      {sign + "hub", asked(east)},
		"an operator, as a cluster":  {sign + "cluster", asked("spiffe://" + domain.Name() + "/operator/sam")},
		"the trust domain itself":    {sign + "hub", asked("spiffe://" + domain.Name())},
		"one more, of elsewhere":     {sign + "cluster", asked(east + ",spiffe://other.test/cluster/east")},
		"no ID":                      {sign + "cluster", asked(east, "uri_sans", "")},
		"its own end":                {sign + "cluster", asked(east, "ttl", "", "not_after", "2099-01-01T00:00:00Z")},
		"its own end beside":         {sign + "cluster", asked(east, "not_after", "2099-01-01T00:00:00Z")},
		"a name":                     {sign + "cluster", asked(east, "alt_names", "hub."+domain.Name())},
		"a name by its subject":      {sign + "cluster", asked(east, "common_name", "hub."+domain.Name(), "exclude_cn_from_sans", "false")},
		"a name by its subject, too": {sign + "cluster", asked(east, "common_name", "hub."+domain.Name(), "exclude_cn_from_sans", "")},
		"another name of the hub":    {sign + "hub", asked("spiffe://"+domain.Name()+"/hub", "alt_names", "api."+domain.Name())},
		"an address":                 {sign + "cluster", asked(east, "ip_sans", "127.0.0.1")},
		"another kind of name":       {sign + "cluster", asked(east, "other_sans", "1.2.3;UTF8:x")},
		"a user":                     {sign + "cluster", asked(east, "user_ids", "root")},
		"by the default issuer":      {mount + "/sign/writ-cluster", asked(east)},
		"verbatim":                   {mount + "/issuer/" + issuer + "/sign-verbatim", asked(east)},
		"verbatim by the role":       {mount + "/sign-verbatim/writ-cluster", asked(east)},
		"a CA":                       {mount + "/issuer/" + issuer + "/sign-intermediate", asked(east)},
		"a CA by the default":        {mount + "/root/sign-intermediate", asked(east)},
		"a self-issued CA":           {mount + "/root/sign-self-issued", map[string]any{"certificate": "x"}},
		"with a key of Vault's":      {mount + "/issuer/" + issuer + "/issue/writ-cluster", asked(east, "csr", "")},
		"a CA of its own":            {mount + "/issuers/generate/root/internal", map[string]any{"common_name": "x"}},
		"another CA's key":           {mount + "/issuers/generate/root/exported", map[string]any{"common_name": "x"}},
		"an intermediate":            {mount + "/issuers/generate/intermediate/internal", map[string]any{"common_name": "x"}},
		"a CA from outside":          {mount + "/issuers/import/bundle", map[string]any{"pem_bundle": "x"}},
		"another role":               {mount + "/roles/writ-cluster", map[string]any{"allow_any_name": true}},
		"another default":            {mount + "/config/issuers", map[string]any{"default": "default"}},
		"another issuer":             {mount + "/issuer/" + issuer, map[string]any{"leaf_not_after_behavior": "permit"}},
		"a revocation":               {mount + "/revoke", map[string]any{"serial_number": "1"}},
		"its policy":                 {"sys/policies/acl/writ.authority", map[string]any{"policy": ""}},
		"its login":                  {"auth/writ-hub/role/writ.authority", map[string]any{"token_policies": "root"}},
		"another token":              {"auth/token/create", nil},
	} {
		_, err := hub.Logical().WriteWithContext(t.Context(), c.path, c.data)
		require.Error(t, err, name)
		require.Regexp(t, "permission denied|not valid for this role|not allowed by this role", err.Error(), name)
	}
	for _, path := range []string{mount + "/issuer/" + issuer, mount + "/issuers", mount + "/key/default", mount + "/root"} {
		_, err := hub.Logical().DeleteWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", path)
	}
	for _, path := range []string{mount + "/keys", mount + "/key/default", mount + "/roles/writ-cluster", "sys/mounts", "transit/keys"} {
		_, err := hub.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", path)
	}
	require.ElementsMatch(t, before, k.issuers(t))

	secret, err := hub.Logical().WriteWithContext(t.Context(), sign+"cluster", asked(east, "ttl", "720h"))
	require.NoError(t, err)
	leaf := parse(t, []byte(secret.Data["certificate"].(string)))
	require.LessOrEqual(t, time.Until(leaf.NotAfter), time.Hour, "as long as an SVID lives, whatever is asked")
	require.False(t, leaf.IsCA)
	secret, err = hub.Logical().WriteWithContext(t.Context(), sign+"cluster", asked(east+",spiffe://"+domain.Name()+"/cluster/west"))
	require.NoError(t, err)
	_, err = identity.IDOf(parse(t, []byte(secret.Data["certificate"].(string))))
	require.ErrorContains(t, err, "2 URI names", "two IDs are none, to whoever looks")
}

// Nobody gets the key of an authority out of Vault, root included.
func TestTheKeyOfAnAuthorityStaysInVault(t *testing.T) {
	k := newKeeping(t, worldtest.Vault(t))
	id := k.issuers(t)[0].(string)
	for _, path := range []string{"/issuer/" + id, "/key/default", "/issuer/" + id + "/json"} {
		secret, err := k.root.Logical().ReadWithContext(t.Context(), k.options.Mount+path)
		require.NoError(t, err)
		for name, value := range secret.Data {
			said, _ := value.(string)
			require.NotContains(t, said, "PRIVATE KEY", name)
		}
		require.NotContains(t, slices.Collect(maps.Keys(secret.Data)), "private_key")
	}
}

// Whoever does not show the hub's own token, for Vault, gets nothing.
func TestVaultSignsSVIDsForTheHubAlone(t *testing.T) {
	k := newKeeping(t, worldtest.Vault(t))
	ca := k.ca(t, t.TempDir())
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for name, show := range map[string]func(){
		"another account":  func() { k.show(t, k.key, "system:serviceaccount:writ-system:default", vault.HubAudience, time.Hour) },
		"another audience": func() { k.show(t, k.key, vault.HubSubject, "https://kubernetes.default.svc", time.Hour) },
		"another key":      func() { k.show(t, other, vault.HubSubject, vault.HubAudience, time.Hour) },
		"expired":          func() { k.show(t, k.key, vault.HubSubject, vault.HubAudience, -time.Hour) },
		"none":             func() { require.NoError(t, os.WriteFile(k.token, nil, 0o600)) },
		"no file":          func() { require.NoError(t, os.Remove(k.token)) },
	} {
		show()
		_, err := k.authority(t).Authorities(t.Context())
		require.ErrorIs(t, err, identity.ErrAway, name)
		require.NotContains(t, err.Error(), "\n")
		dir := t.TempDir()
		_, err = identity.OpenCA(t.Context(), dir, domain, k.authority(t), time.Now())
		require.ErrorIs(t, err, identity.ErrAway, name)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
	k.show(t, k.key, vault.HubSubject, vault.HubAudience, time.Hour)
	_, err = ca.Make(t.Context(), "", identity.Hub(domain), time.Now(), time.Hour)
	require.NoError(t, err)
}

// A sealed Vault signs nothing and says so in one line; the CA opens while it is, and signs when it is open again. One that does not
// answer is not waited for.
func TestASealedVaultSignsNoSVID(t *testing.T) {
	k := newKeeping(t, worldtest.Vault(t))
	dir := t.TempDir()
	ca := k.ca(t, dir)
	made := func(ca *identity.CA) error {
		_, err := ca.Make(t.Context(), "1", clusterID(t, "east"), time.Now(), time.Hour)
		return err
	}
	require.NoError(t, made(ca))
	require.NoError(t, k.vault.Seal(t.Context()))
	t.Cleanup(func() { _ = k.vault.Unseal(context.Background()) })
	err := made(ca)
	require.ErrorIs(t, err, identity.ErrAway)
	require.ErrorContains(t, err, "vault is sealed or starting")
	require.NotContains(t, err.Error(), "\n")
	again := k.ca(t, dir)
	require.ErrorIs(t, made(again), identity.ErrAway)
	require.Equal(t, ca.Signer(), again.Signer())
	require.NoError(t, k.vault.Unseal(t.Context()))
	require.NoError(t, made(ca))
	require.NoError(t, made(again))

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	a, err := vault.NewAuthority(vault.Options{Address: "https://" + silent.Addr().String(), CAFile: k.vault.CACert()}, k.options.Mount, k.token)
	require.NoError(t, err)
	slow, err := identity.OpenCA(t.Context(), dir, domain, a, time.Now())
	require.NoError(t, err)
	from := time.Now()
	require.ErrorIs(t, made(slow), identity.ErrAway)
	require.Less(t, time.Since(from), 4*time.Second)
}

// The authority is replaced in Vault by another, which signs once it is let; then the old one is ended, key and all.
func TestAnAuthorityIsReplacedInVault(t *testing.T) {
	k := newKeeping(t, worldtest.Vault(t))
	dir := t.TempDir()
	ca := k.ca(t, dir)
	first := ca.Signer()
	by := func() string {
		made, err := ca.Make(t.Context(), "", identity.Hub(domain), time.Now(), time.Hour)
		require.NoError(t, err)
		return identity.AuthorityOf(made.Leaf())
	}
	require.ErrorContains(t, ca.Prepare(t.Context(), time.Now()), "has no newer authority than the one that signs: make it by writ vault authority --next")
	k.next(t)
	require.Len(t, k.issuers(t), 2)
	require.Equal(t, first, by(), "what Vault has beside changes nothing")
	require.NoError(t, ca.Prepare(t.Context(), time.Now()))
	require.Equal(t, first, by())
	ended, err := vault.EndAuthorities(t.Context(), k.root, k.options.Mount, ca.Authorities().PEM())
	require.NoError(t, err)
	require.Zero(t, ended, "both count")
	require.NoError(t, ca.Switch(t.Context(), time.Now()))
	require.NotEqual(t, first, by())
	ca = k.ca(t, dir)
	require.Equal(t, identity.Signing, ca.Stage())
	require.NotEqual(t, first, by())
	require.NoError(t, ca.Drop())
	state, err := vault.InspectAuthority(t.Context(), k.root, domain.Name(), ca.Authorities().PEM())
	require.NoError(t, err)
	require.Equal(t, vault.AuthorityState{Set: true, Mount: k.options.Mount, Policy: true, Issuer: hubIssuer, Keys: state.Keys, Signs: true, Older: 1}, state)
	require.True(t, state.Knows(hubIssuer, k.options.Keys))
	require.False(t, state.Knows(hubIssuer, nil))
	require.False(t, state.Knows("https://other", k.options.Keys))

	file, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	_, err = vault.EndAuthorities(t.Context(), k.root, k.options.Mount, file.Authorities().PEM())
	require.ErrorContains(t, err, "nothing was ended")
	require.Len(t, k.issuers(t), 2)
	ended, err = vault.EndAuthorities(t.Context(), k.root, k.options.Mount, ca.Authorities().PEM())
	require.NoError(t, err)
	require.Equal(t, 1, ended)
	require.Len(t, k.issuers(t), 1)
	keys, err := k.root.Logical().ListWithContext(t.Context(), k.options.Mount+"/keys")
	require.NoError(t, err)
	require.Len(t, keys.Data["keys"], 1)
	require.NotEqual(t, first, by())

	_, err = k.root.Logical().DeleteWithContext(t.Context(), k.options.Mount+"/issuer/"+k.issuers(t)[0].(string))
	require.NoError(t, err)
	_, err = ca.Make(t.Context(), "", identity.Hub(domain), time.Now(), time.Hour)
	require.ErrorIs(t, err, identity.ErrAway, "found by the ID of before")
	_, err = ca.Make(t.Context(), "", identity.Hub(domain), time.Now(), time.Hour)
	require.ErrorContains(t, err, "has no key of the authority that began")
}

func TestWhatIsNoMount(t *testing.T) {
	for _, said := range []string{"", "/", "writ-ca/", "../x", "a b", "a//b", "+", "writ-ca/*"} {
		_, err := vault.ParseMount(said)
		require.ErrorContains(t, err, "say a path, as writ-ca", said)
	}
}
