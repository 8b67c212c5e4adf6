package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/journal"
)

// scene is an executor with a real journal and the real kernel, on an API server whose failures the test steers.
type scene struct {
	t        *testing.T
	f        *trusttest.Fixture
	dir      string
	journal  *journal.Journal
	executor *executor.Executor
	server   *server
	receipts *bundle.Key
	stop     func()
	onAllow  func()                // before the local policy's word
	onIssue  func()                // before a lease
	parts    func(*executor.Parts) // may put real ones in the place of the scene's own

	mu       sync.Mutex // guards what is below
	late     time.Duration
	denied   *refusal.Refusal // the local policy's word
	leases   int
	revoked  int
	ended    []string // leases, by their IDs, without the one who was given them
	noEnd    error
	noLease  error
	taken    []uint64
	rejected []string
	unheard  error // what reading the target says
	prober   executor.Prober
	asked    int // whether a change was made
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneWith(t, trusttest.New(t), func(*executor.Parts) {})
}

func newSceneWith(t *testing.T, f *trusttest.Fixture, parts func(*executor.Parts)) *scene {
	t.Helper()
	s := &scene{t: t, f: f, parts: parts, dir: filepath.Join(t.TempDir(), "journal"), server: newServer(t),
		onAllow: func() {}, onIssue: func() {}}
	s.receipts = s.f.Keys(1)[0]
	s.open()
	require.NoError(t, s.journal.Init(journal.Head{Epoch: s.f.Epoch, Sequence: s.f.Sequence, Digest: s.f.Previous}))
	s.run()
	t.Cleanup(func() { s.stop(); _ = s.journal.Close() })
	return s
}

func (s *scene) open() {
	s.t.Helper()
	var err error
	s.journal, err = journal.Open(s.dir, slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
}

// run starts an executor on the journal as it is.
func (s *scene) run() {
	parts := executor.Parts{Audience: s.f.Audience, Root: s.f.Root, Journal: s.journal, Policy: s, Issuer: s, Targets: s,
		Uplink: s, Prober: s.prober, Cluster: &rest.Config{Host: s.server.URL}, Veil: func(string) []byte { return nil }, Receipts: s.receipts, Tracer: noop.NewTracerProvider().Tracer(""),
		Log: slog.New(slog.DiscardHandler), Now: s.now}
	s.parts(&parts)
	s.executor = executor.New(parts)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	x := s.executor
	go func() { done <- x.Run(ctx, func() { close(ready) }) }()
	s.stop = sync.OnceFunc(func() { cancel(); require.NoError(s.t, <-done) })
	<-ready
}

func (s *scene) now() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return time.Now().Add(s.late) }

func (s *scene) set(change func()) { s.mu.Lock(); defer s.mu.Unlock(); change() }

// Allow implements LocalPolicy.
func (s *scene) Allow(bundle.Order, catalogue.Tier, time.Time) *refusal.Refusal {
	s.onAllow()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied
}

// Lowers implements LocalPolicy.
func (s *scene) Lowers(bundle.Order, time.Time) catalogue.Tier { return "" }

// Issue implements Issuer.
func (s *scene) Issue(context.Context, trust.Verified, time.Duration) (*credentials.Lease, error) {
	s.onIssue()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noLease != nil {
		return nil, s.noLease
	}
	s.leases++
	return credentials.NewLease("test", fmt.Sprintf("lease-%d", s.leases), "token", time.Now().Add(time.Minute), func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.noEnd == nil {
			s.revoked++
		}
		return s.noEnd
	}), nil
}

// Foretell implements Issuer.
func (s *scene) Foretell(trust.Verified) string { return "" }

// End implements Issuer.
func (s *scene) End(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noEnd == nil {
		s.ended = append(s.ended, id)
	}
	return s.noEnd
}

// Applied implements Targets.
func (s *scene) Applied(_ context.Context, _ bundle.Order, manager string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.unheard != nil {
		return false, s.unheard
	}
	return s.server.managed(manager), nil
}

// Await implements Targets.
func (s *scene) Await(context.Context, bundle.Order, time.Time) (bool, string, error) {
	return true, "as predicted", nil
}

// Drift implements Targets.
func (s *scene) Drift(context.Context, bundle.Order) ([]catalogue.Drift, error) {
	return nil, nil
}

// Taken implements Uplink.
func (s *scene) Taken(_, sequence uint64, _ string) {
	s.set(func() { s.taken = append(s.taken, sequence) })
}

// Rejected implements Uplink.
func (s *scene) Rejected(_ uint64, reason, _ string) {
	s.set(func() { s.rejected = append(s.rejected, reason) })
}

// Attested implements Uplink.
func (s *scene) Attested() {}

// Leased implements Uplink.
func (s *scene) Leased() {}

// receipt waits for the signed receipt of a bundle.
func (s *scene) receipt(bundleID string) bundle.Receipt {
	s.t.Helper()
	var raw []byte
	require.Eventually(s.t, func() bool {
		all, err := s.journal.Receipts()
		require.NoError(s.t, err)
		for _, one := range all {
			if one.BundleID == bundleID {
				raw = one.Envelope
			}
		}
		return raw != nil
	}, time.Minute, 5*time.Millisecond)
	envelope, receipt, no := bundle.OpenReceipt(raw)
	require.Nil(s.t, no)
	_, err := bundle.VerifyAll(s.t.Context(), envelope, 1, []dsse.Verifier{s.receipts})
	require.NoError(s.t, err, "signed with the spoke's key")
	return receipt
}

// leased waits until every lease is revoked, and returns how many there were.
func (s *scene) leased() int {
	s.t.Helper()
	n := 0
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		n = s.leases
		return s.leases == s.revoked
	}, 5*time.Second, time.Millisecond)
	return n
}

// forDryRuns is the token of whoever reads and makes dry runs alone.
const forDryRuns = "dry runs alone"

// server is the one Deployment's scale on an API server that the test steers.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	replicas int
	version  int
	calls    int      // of any kind
	dryRuns  int      // patches that were only checked
	changes  int      // patches that were carried out
	managers []string // of the changes
	changers []string // who made them
	// steer may answer a patch itself, before it is carried out; after carries it out and then loses the answer.
	steer func(w http.ResponseWriter, dryRun bool) (answered bool)
	lose  bool
	more  map[string]any // what a dry run changes besides
}

func newServer(t *testing.T) *server {
	s := &server{replicas: 3, version: 7}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) managed(manager string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.managers {
		if known == manager {
			return true
		}
	}
	return false
}

// said is what reached the API server: calls of any kind, dry runs and changes.
func (s *server) said() (calls, dryRuns, changes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.dryRuns, s.changes
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	who := r.Header.Get("Authorization")
	if who != "Bearer token" && (who != "Bearer "+forDryRuns || changes(r)) || !strings.HasSuffix(r.URL.Path, "/scale") {
		answer(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	if r.Method == http.MethodPatch && !s.patch(w, r) {
		return
	}
	_ = json.NewEncoder(w).Encode(s.object())
}

// patch is false where it has answered itself.
func (s *server) patch(w http.ResponseWriter, r *http.Request) bool {
	dryRun := r.URL.Query().Get("dryRun") == "All"
	if s.steer != nil && s.steer(w, dryRun) {
		return false
	}
	var body struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Spec struct {
			Replicas int `json:"replicas"`
		} `json:"spec"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Metadata.ResourceVersion != fmt.Sprint(s.version) {
		answer(w, http.StatusConflict, "Conflict")
		return false
	}
	if dryRun {
		s.dryRuns++
		checked := s.object()
		spec := checked["spec"].(map[string]any)
		spec["replicas"] = body.Spec.Replicas
		maps.Copy(spec, s.more)
		_ = json.NewEncoder(w).Encode(checked)
		return false
	}
	s.changes++
	s.version++
	s.replicas = body.Spec.Replicas
	s.managers = append(s.managers, r.URL.Query().Get("fieldManager"))
	s.changers = append(s.changers, r.Header.Get("Authorization"))
	if s.lose {
		s.lose = false
		panic(http.ErrAbortHandler)
	}
	return true
}

func (s *server) object() map[string]any {
	return map[string]any{"apiVersion": "autoscaling/v1", "kind": "Scale",
		"metadata": map[string]any{"name": "checkout", "namespace": "shop", "uid": "d1", "resourceVersion": fmt.Sprint(s.version)},
		"spec":     map[string]any{"replicas": s.replicas}}
}

func answer(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
		"message": "the API server says " + reason})
}
