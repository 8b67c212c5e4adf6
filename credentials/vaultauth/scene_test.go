package vaultauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials/vaultauth"
	"github.com/writ-dev/writ/internal/identity"
)

var domain = spiffeid.RequireTrustDomainFromString("test.writ.dev")

// scene is the auth method with its storage, whom it is to believe, and the front door of the Vault that it is part of: the one thing
// here that is not real, so that it can fail. The tests of package credentials/vault have a real Vault.
type scene struct {
	*trusttest.Fixture
	method  logical.Backend
	storage *logical.InmemStorage
	slowly  time.Duration // how long a read of what is used waits for another beside it
	ca      *identity.CA
	door    *door
	now     time.Time
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Fixture: trusttest.New(t), storage: &logical.InmemStorage{}}
	s.now = s.Now
	s.restart(t)
	s.door = &door{written: map[string]map[string]any{}, scene: s}
	server := httptest.NewTLSServer(s.door)
	t.Cleanup(server.Close)
	var err error
	s.ca, err = identity.LoadCA(t.TempDir(), domain, s.now)
	require.NoError(t, err)
	s.write(t, "config", map[string]any{"trust_root": string(s.Root.Bytes()), "trust_domain": domain.Name(), "authorities": string(s.ca.Authorities().PEM()),
		"vault_address": server.URL, "vault_ca": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))})
	s.write(t, "clusters/east", map[string]any{"cluster_uid": s.Audience.ClusterUID, "mount": "kubernetes-east"})
	return s
}

// restart makes a new process of the plugin, on the storage that there is.
func (s *scene) restart(t *testing.T) {
	t.Helper()
	var err error
	s.method, err = vaultauth.NewAt(t.Context(), &logical.BackendConfig{StorageView: s.storage, System: logical.TestSystemView()}, func() time.Time { return s.now })
	require.NoError(t, err)
}

func (s *scene) do(ctx context.Context, operation logical.Operation, path string, data map[string]any, client ...*x509.Certificate) (*logical.Response, error) {
	return s.method.HandleRequest(ctx, &logical.Request{Operation: operation, Path: path, Data: data, Storage: &storage{InmemStorage: s.storage, slowly: s.slowly}, MountPoint: "auth/writ/",
		Connection: &logical.Connection{ConnState: &tls.ConnectionState{PeerCertificates: client}}})
}

// storage lets others read between a read and a write, where nobody keeps them from it.
type storage struct {
	*logical.InmemStorage
	slowly time.Duration
}

func (s *storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	entry, err := s.InmemStorage.Get(ctx, key)
	if s.slowly > 0 && strings.HasPrefix(key, "used/") {
		wait, cancel := context.WithTimeout(ctx, s.slowly)
		defer cancel()
		<-wait.Done()
	}
	return entry, err
}

func (s *scene) write(t *testing.T, path string, data map[string]any) {
	t.Helper()
	answer, err := s.do(t.Context(), logical.UpdateOperation, path, data)
	require.NoError(t, err)
	require.False(t, answer.IsError(), "%v", answer)
}

// chain is a new SVID of an ID, as a client shows it.
func chain(t *testing.T, ca *identity.CA, id spiffeid.ID, at time.Time) []*x509.Certificate {
	t.Helper()
	svid, err := ca.Make(t.Context(), "", id, at, time.Hour)
	require.NoError(t, err)
	return []*x509.Certificate{svid.Leaf()}
}

func clusterID(t *testing.T, name string) spiffeid.ID {
	t.Helper()
	id, err := identity.Cluster(domain, name)
	require.NoError(t, err)
	return id
}

func (s *scene) east(t *testing.T) []*x509.Certificate {
	return chain(t, s.ca, clusterID(t, "east"), s.Now)
}

func (s *scene) login(ctx context.Context, raw []byte, client []*x509.Certificate) (*logical.Response, error) {
	return s.do(ctx, logical.UpdateOperation, "login", map[string]any{"bundle": string(raw)}, client...)
}

// order is a valid one, under IDs of its own.
func (s *scene) order(name string) bundle.Order {
	o := s.Order()
	o.ID, o.RequestID = "order-"+name, name
	return o
}

// everything is the keys of the storage, and what was written in Vault.
func (s *scene) everything(t *testing.T) []string {
	t.Helper()
	keys, err := logical.CollectKeys(t.Context(), s.storage)
	require.NoError(t, err)
	return append(keys, s.door.paths()...)
}

// door is the front door of Vault: it logs the method in by the method itself, and takes what the method writes.
type door struct {
	scene *scene

	mu      sync.Mutex
	written map[string]map[string]any
	broken  bool
	forbids string // what lies below it, as the hands' policy does what is of the other way to issue
	logins  int
	revoked []string      // below which leases were revoked
	holds   chan struct{} // a policy that is written says so, and waits
}

func (d *door) paths() (paths []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path := range d.written {
		paths = append(paths, path)
	}
	return paths
}

func (d *door) at(path string) map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written[path]
}

func (d *door) breakIt(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var data map[string]any
	_ = json.NewDecoder(r.Body).Decode(&data)
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	if d.holds != nil && r.Method != http.MethodDelete && strings.HasPrefix(path, "sys/policies/") {
		d.holds <- struct{}{}
		<-d.holds
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	leases, revokes := strings.CutPrefix(path, "sys/leases/revoke-prefix/")
	switch {
	case d.broken:
		w.WriteHeader(http.StatusInternalServerError)
	case path == "auth/writ/hands":
		answer, err := d.scene.do(r.Context(), logical.UpdateOperation, "hands", data)
		if err != nil || answer.Auth == nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		d.logins++
		_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{"client_token": "hands-of-" + data["cluster"].(string), "lease_duration": 600}})
	case r.Header.Get("X-Vault-Token") != "hands-of-east", d.forbids != "" && strings.HasPrefix(path, d.forbids):
		w.WriteHeader(http.StatusForbidden)
	case revokes:
		d.revoked = append(d.revoked, leases)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		delete(d.written, path)
		w.WriteHeader(http.StatusNoContent)
	default:
		d.written[path] = data
		w.WriteHeader(http.StatusNoContent)
	}
}
