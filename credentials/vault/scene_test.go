package vault_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/identity"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

const life = 30 * time.Second

var domain = spiffeid.RequireTrustDomainFromString("test.writ.dev")

// scene is a cluster, a Vault, and the hub's CA.
type scene struct {
	*credentialstest.Scene
	vault *worldvault.Server
	root  *api.Client
	ca    *identity.CA
	token string // of Vault's account in the cluster
	stock bool
	begun bool
	oidc  bool
	host  string // of the cluster's API server, as Vault reaches it
	stood []any  // roles of east's engine that others left
}

// newStock is newScene with a Vault that does without Writ's auth method.
func newStock(t testing.TB, server *worldvault.Server) *scene {
	t.Helper()
	s := newScene(t, server)
	s.stock = true
	return s
}

func newScene(t testing.TB, server *worldvault.Server) *scene {
	t.Helper()
	s := &scene{Scene: credentialstest.New(t, true), vault: server}
	var err error
	s.root, err = server.Client(server.RootToken())
	require.NoError(t, err)
	s.ca, err = identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	s.token, err = s.Cluster.TokenFor(t.Context(), spoke.SystemNamespace, spoke.VaultAccount, time.Hour)
	require.NoError(t, err)
	s.host = s.Cluster.Server()
	s.stood = s.roles(t, "east")
	return s
}

func (s *scene) options(cluster string) vault.SetupOptions {
	authority, err := os.ReadFile(s.vault.CACert())
	if err != nil {
		panic(err)
	}
	return vault.SetupOptions{Cluster: cluster, TrustDomain: domain.Name(), Authorities: s.ca.Authorities().PEM(),
		KubernetesHost: s.host, KubernetesCA: s.Cluster.CAPEM(), ServiceAccountToken: s.token, Stock: s.stock, OIDC: s.oidc,
		TrustRoots: [][]byte{s.Fixture.Root.Bytes()}, ClusterUID: s.Fixture.Audience.ClusterUID, Address: s.vault.Address(), CA: authority}
}

func (s *scene) setup(t testing.TB, clusters ...string) {
	t.Helper()
	if !s.begun { // tests share one Vault, and each fleet begins anew
		_, err := s.root.Logical().DeleteWithContext(t.Context(), vault.AuthPath+"config")
		var answer *api.ResponseError
		if !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
			require.NoError(t, err)
		}
		s.begun = true
	}
	for _, cluster := range clusters {
		require.NoError(t, vault.Setup(t.Context(), s.root, s.options(cluster)))
	}
}

// svid makes a new SVID of an ID, by a CA.
func svid(t testing.TB, ca *identity.CA, id spiffeid.ID) *identity.SVID {
	t.Helper()
	made, err := ca.Make(t.Context(), "", id, time.Now(), time.Hour)
	require.NoError(t, err)
	return made
}

func clusterID(t testing.TB, name string) spiffeid.ID {
	t.Helper()
	id, err := identity.Cluster(domain, name)
	require.NoError(t, err)
	return id
}

// issuer asks for the credentials of a cluster, as whoever the SVID says.
func (s *scene) issuer(t testing.TB, cluster string, who *identity.SVID) *vault.Issuer {
	t.Helper()
	return s.issuerOf(t, cluster, identity.NewSource(who, s.ca.Authorities()).ClientCertificate)
}

func (s *scene) issuerOf(t testing.TB, cluster string, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) *vault.Issuer {
	t.Helper()
	i, err := vault.New(vault.Options{Address: s.vault.Address(), CAFile: s.vault.CACert(), Cluster: cluster, Certificate: certificate, Stock: s.stock})
	require.NoError(t, err)
	return i
}

func (s *scene) spoke(t testing.TB, cluster string) *vault.Issuer {
	t.Helper()
	return s.issuer(t, cluster, svid(t, s.ca, clusterID(t, cluster)))
}

// roles are the names of the engine's roles of a cluster's mount, but for those that stood when the scene began: Vault is shared, and
// what its own judge made is swept later.
func (s *scene) roles(t testing.TB, cluster string) (names []any) {
	t.Helper()
	secret, err := s.root.Logical().ListWithContext(t.Context(), vault.Mount(cluster)+"/roles")
	require.NoError(t, err)
	if secret == nil {
		return nil
	}
	listed, _ := secret.Data["keys"].([]any)
	for _, name := range listed {
		if !slices.Contains(s.stood, name) {
			names = append(names, name)
		}
	}
	return names
}

// login is a client with the Vault token of a cluster's spoke, to try what the policy denies.
func (s *scene) login(t testing.TB, cluster string) *api.Client {
	t.Helper()
	file := t.TempDir() + "/svid.pem"
	require.NoError(t, svid(t, s.ca, clusterID(t, cluster)).Save(file))
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = s.vault.Address(), 0
	require.NoError(t, config.ConfigureTLS(&api.TLSConfig{CACert: s.vault.CACert(), ClientCert: file, ClientKey: file}))
	client, err := api.NewClient(config)
	require.NoError(t, err)
	secret, err := client.Logical().WriteWithContext(t.Context(), "auth/cert/login", map[string]any{"name": "writ-" + cluster})
	require.NoError(t, err)
	client.SetToken(secret.Auth.ClientToken)
	return client
}

// revokeTokens takes away every token that was had by logging in.
func (s *scene) revokeTokens(t testing.TB) {
	t.Helper()
	_, err := s.root.Logical().WriteWithContext(t.Context(), "sys/leases/revoke-prefix/auth/cert/login", map[string]any{})
	require.NoError(t, err)
}

func TestNewTellsWhatIsWrongWithTheCAFile(t *testing.T) {
	empty := t.TempDir() + "/ca.crt"
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for file, says := range map[string]string{empty: "holds no certificate", "/nowhere/ca.crt": "no such file"} {
		_, err := vault.New(vault.Options{Address: "https://127.0.0.1:1", CAFile: file, Cluster: "east"})
		require.ErrorContains(t, err, says)
	}
}
