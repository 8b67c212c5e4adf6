package executor_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/identity"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/target"
)

// vaulted is an executor on a real API server, which gets its credentials from a real Vault; every way between them can be troubled.
type vaulted struct {
	*scene
	cluster *credentialstest.Scene
	vault   *worldvault.Server
	root    *vaultapi.Client
	toVault *worldtest.Line // the spoke's
	toAPI   *worldtest.Line // Vault's
	gate    *gate           // the spoke's to the API server
	before  []string        // the identities in the namespace without any action
	orders  int
}

// newVaulted starts a Vault of its own for a test, in a folder that the test may have prepared.
func newVaulted(t *testing.T, dir string) *vaulted {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real servers")
	}
	v := &vaulted{cluster: credentialstest.New(t, true)}
	var err error
	v.vault, err = worldvault.Start(t.Context(), worldvault.Options{Dir: dir, Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(v.vault.Stop)
	v.toVault = worldtest.NewLine(t, strings.TrimPrefix(v.vault.Address(), "https://"))
	v.toAPI = worldtest.NewLine(t, strings.TrimPrefix(v.cluster.Cluster.Server(), "https://"))
	v.gate = newGate(t, v.cluster.Anonymous())
	who := v.setup(t)
	issuer, err := vault.New(vault.Options{Address: "https://" + v.toVault.Address(), CAFile: v.vault.CACert(), Cluster: "east", Certificate: who.ClientCertificate})
	require.NoError(t, err)
	targets, err := target.New(v.cluster.Cluster.RESTConfig())
	require.NoError(t, err)
	v.before = v.identities(t)
	v.scene = newSceneWith(t, v.cluster.Fixture, func(parts *executor.Parts) {
		parts.Issuer, parts.Targets, parts.Cluster = issuer, targets, v.gate.config()
	})
	return v
}

// setup has Vault judge for the cluster, and returns its spoke's identity.
func (v *vaulted) setup(t *testing.T) *identity.Source {
	t.Helper()
	var err error
	v.root, err = v.vault.Client(v.vault.RootToken())
	require.NoError(t, err)
	domain := spiffeid.RequireTrustDomainFromString(v.cluster.Fixture.Audience.TrustDomain)
	ca, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	token, err := v.cluster.Cluster.TokenFor(t.Context(), spoke.SystemNamespace, spoke.VaultAccount, time.Hour)
	require.NoError(t, err)
	authority, err := os.ReadFile(v.vault.CACert())
	require.NoError(t, err)
	require.NoError(t, vault.Setup(t.Context(), v.root, vault.SetupOptions{Cluster: "east", TrustDomain: domain.Name(), Authorities: ca.Authorities().PEM(),
		KubernetesHost: "https://" + v.toAPI.Address(), KubernetesCA: v.cluster.Cluster.CAPEM(), ServiceAccountToken: token,
		TrustRoots: [][]byte{v.cluster.Fixture.Root.Bytes()}, ClusterUID: v.cluster.Fixture.Audience.ClusterUID, Address: v.vault.Address(), CA: authority}))
	id, err := identity.Cluster(domain, "east")
	require.NoError(t, err)
	svid, err := ca.Make(t.Context(), "", id, time.Now(), time.Hour)
	require.NoError(t, err)
	return identity.NewSource(svid, ca.Authorities())
}

func (v *vaulted) identities(t *testing.T) []string {
	t.Helper()
	return v.cluster.Identities(t.Context(), t, v.cluster.Allowed)
}

// replicas is what the Deployment of all these orders has.
func (v *vaulted) replicas(t *testing.T) int {
	t.Helper()
	live, err := v.cluster.Admin.AppsV1().Deployments(v.cluster.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	return int(*live.Spec.Replicas)
}

// order is one to give the Deployment a replica more, to be done within so long, as it comes in its bundle; and the bundle's ID.
func (v *vaulted) order(t *testing.T, within time.Duration) (raw []byte, id string) {
	t.Helper()
	live, err := v.cluster.Admin.AppsV1().Deployments(v.cluster.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	of := catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: v.cluster.Allowed, Name: credentialstest.Checkout, UID: string(live.UID)}
	replicas := *live.Spec.Replicas
	facts := catalogue.Facts{UID: of.UID, Generation: live.Generation, ObservedGeneration: live.Generation, Replicas: replicas, ReadyReplicas: replicas}
	v.orders++
	o := v.f.OrderFor("scale", of, facts, fmt.Sprintf(`{"replicas":%d}`, replicas+1))
	o.RequestID = fmt.Sprintf("fault-%d", v.orders)
	o.ID, o.DeadlineSeconds = "order-"+o.RequestID, int64(within.Seconds())
	b := v.f.Bundle(o)
	raw = v.f.Seal(b)
	v.f.Sequence, v.f.Previous = b.Sequence, bundle.Digest(raw)
	return raw, b.ID
}

// take hands the executor an order, and returns its bundle's ID.
func (v *vaulted) take(t *testing.T, within time.Duration) string {
	t.Helper()
	raw, id := v.order(t, within)
	require.NoError(t, v.executor.Bundle(t.Context(), raw))
	return id
}

// applied demands that an order is carried out, with a credential of which nothing is left.
func (v *vaulted) applied(t *testing.T, id string, replicas int) {
	t.Helper()
	receipt := v.receipt(id)
	require.Equal(t, bundle.Applied, receipt.Result, "%v", receipt.Refusal)
	require.Equal(t, "vault:kubernetes-east/creds/writ-"+id, receipt.Credential)
	require.Equal(t, replicas, v.replicas(t))
	v.nothingLeft(t)
}

// notDone demands that an order was not carried out, and returns what was said.
func (v *vaulted) notDone(t *testing.T, id string, replicas int) string {
	t.Helper()
	receipt := v.receipt(id)
	require.NotEqual(t, bundle.Applied, receipt.Result)
	require.NotNil(t, receipt.Refusal)
	require.NotContains(t, receipt.Refusal.Detail, "\n")
	require.Equal(t, replicas, v.replicas(t), "nothing was changed")
	t.Logf("%s: %s", receipt.Refusal.Reason, receipt.Refusal.Detail)
	return string(receipt.Refusal.Reason) + ": " + receipt.Refusal.Detail
}

// nothingLeft waits until no identity of an action is left in the cluster.
func (v *vaulted) nothingLeft(t *testing.T) {
	t.Helper()
	worldtest.Eventually(t, "the identities of actions to be gone", func(ctx context.Context) error {
		if now := v.cluster.Identities(ctx, t, v.cluster.Allowed); len(now) != len(v.before) {
			return fmt.Errorf("still there: %v", now)
		}
		return nil
	})
}

// gate is in front of the API server, and tells of what comes; nothing is changed on its way.
type gate struct {
	server *httptest.Server

	mu     sync.Mutex
	before func(r *http.Request) // a request goes on
	tokens []string              // that were seen, each once
	writes int                   // of any kind but dry runs
}

func newGate(t *testing.T, to *rest.Config) *gate {
	t.Helper()
	transport, err := rest.TransportFor(to)
	require.NoError(t, err)
	host, err := url.Parse(to.Host)
	require.NoError(t, err)
	g := &gate{before: func(*http.Request) {}}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(host) }}
	g.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.note(r)(r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.server.Close)
	return g
}

func (g *gate) note(r *http.Request) func(*http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if token := r.Header.Get("Authorization"); len(g.tokens) == 0 || g.tokens[len(g.tokens)-1] != token {
		g.tokens = append(g.tokens, token)
	}
	if changes(r) {
		g.writes++
	}
	return g.before
}

// changes is whether a request would change something.
func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.URL.Query().Get("dryRun") == ""
}

// onceBefore does something once, before the first request that is so goes on.
func (g *gate) onceBefore(is func(*http.Request) bool, do func()) {
	var once sync.Once
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = func(r *http.Request) {
		if is(r) {
			once.Do(do)
		}
	}
}

// wrote is how many changes were asked for, with whatever credential.
func (g *gate) wrote() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes
}

// lastToken is the bearer token that was seen last.
func (g *gate) lastToken() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.TrimPrefix(g.tokens[len(g.tokens)-1], "Bearer ")
}

func (g *gate) config() *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.server.Certificate().Raw})
	return &rest.Config{Host: g.server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}
