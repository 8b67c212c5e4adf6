package rollout_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/rollout"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// taken is what was withdrawn, and what ended.
type taken struct {
	mu        sync.Mutex
	withdrawn []string
	ended     []string
}

func (g *taken) Withdraw(_ context.Context, id, _ string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.withdrawn = append(g.withdrawn, id)
	return nil
}

func (g *taken) RolloutEnded(phase string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = append(g.ended, phase)
}

// house is a hub's API server with a fleet declared on it, where the test says what becomes of each request.
type house struct {
	*cluster.Cluster
	t     *testing.T
	admin client.Client
	hub   *rest.Config // the hub's own account
	taken *taken
	in    string // namespace of this test
}

func newHouse(t *testing.T) *house {
	t.Helper()
	c := worldtest.Cluster(t, cluster.Options{Name: "rollouts"})
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs(), deployhub.Manifests()))
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	admin, err := client.New(c.RESTConfig(), client.Options{Scheme: scheme})
	require.NoError(t, err)
	path, err := c.KubeconfigForServiceAccount(t.Context(), "writ-system", "writ-hub", time.Hour)
	require.NoError(t, err)
	hub, err := cluster.LoadKubeconfig(path)
	require.NoError(t, err)
	h := &house{c, t, admin, hub, &taken{}, worldtest.Namespace(t, c)}
	for _, name := range []string{"a", "b", "c", "d"} {
		err := admin.Create(t.Context(), &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"env": "prod"}},
			Spec: v1alpha1.ClusterSpec{Join: v1alpha1.JoinToken{SHA256: fmt.Sprintf("%064d", 0), IssuedAt: metav1.Now()}}})
		require.NoError(t, client.IgnoreAlreadyExists(err)) // tests share the API server
	}
	worldtest.Eventually(t, "admission to know the kinds", func(ctx context.Context) error {
		return admin.Create(ctx, h.fleet("probe", 1, nil), client.DryRunAll)
	})
	return h
}

// run is a hub's lifetime.
func (h *house) run() (stop func()) {
	h.t.Helper()
	m, err := ctrl.NewManager(h.hub, ctrl.Options{Scheme: h.admin.Scheme(), Logger: logr.Discard(),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"})
	require.NoError(h.t, err)
	require.NoError(h.t, rollout.Watch(m, rollout.Parts{Gateway: h.taken, Meter: h.taken, Tracer: noop.NewTracerProvider().Tracer(""),
		Log: slog.New(slog.DiscardHandler), Now: time.Now}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Start(ctx) }()
	return func() { cancel(); <-done }
}

func (h *house) fleet(name string, canary int32, change func(*v1alpha1.RolloutSpec)) *v1alpha1.Rollout {
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: h.in, Name: name}, Spec: v1alpha1.RolloutSpec{
		Request: v1alpha1.RequestTemplate{Action: "scale",
			Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}},
		Selector: v1alpha1.ClusterSelector{MatchLabels: map[string]string{"env": "prod"}},
		Waves:    []v1alpha1.Wave{{Canary: &canary}}, Pause: "0s", OnFailure: v1alpha1.FailureStop}}
	if change != nil {
		change(&r.Spec)
	}
	return r
}

// asked waits until the requests there are have these names.
func (h *house) asked(names ...string) {
	h.t.Helper()
	worldtest.Eventually(h.t, fmt.Sprintf("the requests %v", names), func(ctx context.Context) error {
		var list v1alpha1.ActionRequestList
		if err := h.admin.List(ctx, &list, client.InNamespace(h.in)); err != nil {
			return err
		}
		var there []string
		for _, r := range list.Items {
			there = append(there, r.Name)
			require.Equal(h.t, v1alpha1.HubAccount, r.Spec.Requester, "the API server stamps the hub's own name")
		}
		if slices.Sort(there); !slices.Equal(there, names) {
			return fmt.Errorf("there are %v", there)
		}
		return nil
	})
}

func (h *house) end(phase v1alpha1.Phase, names ...string) {
	h.t.Helper()
	for _, name := range names {
		r := &v1alpha1.ActionRequest{}
		require.NoError(h.t, h.admin.Get(h.t.Context(), client.ObjectKey{Namespace: h.in, Name: name}, r))
		before := r.DeepCopy()
		r.Status.Phase, r.Status.Message, r.Status.Change = phase, "so it ended", "replicas 3 → 4"
		r.Status.Inverse = `{"action":"scale","parameters":{"replicas":3}}`
		require.NoError(h.t, h.admin.Status().Patch(h.t.Context(), r, client.MergeFrom(before)))
	}
}

func (h *house) until(name string, phase v1alpha1.RolloutPhase) (r v1alpha1.Rollout) {
	h.t.Helper()
	worldtest.Eventually(h.t, "rollout "+name+" to be "+string(phase), func(ctx context.Context) error {
		if err := h.admin.Get(ctx, client.ObjectKey{Namespace: h.in, Name: name}, &r); err != nil || r.Status.Phase == phase {
			return err
		}
		return fmt.Errorf("it is %s: %s", r.Status.Phase, r.Status.Message)
	})
	return r
}

// A hub is stopped in the middle of a wave, before it and after it, and another goes on where it was.
func TestAnotherHubGoesOn(t *testing.T) {
	h := newHouse(t)
	require.NoError(t, h.admin.Create(t.Context(), h.fleet("r", 1, nil)))
	stop := h.run()
	h.asked("r.a")
	stop()
	h.end(v1alpha1.PhaseSucceeded, "r.a")

	// killed after one request of the second wave was made, and before the status said so
	half := h.fleet("x", 1, nil)
	require.NoError(t, h.admin.Get(t.Context(), client.ObjectKey{Namespace: h.in, Name: "r"}, half))
	made := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: h.in, Name: "r.b"}, Spec: v1alpha1.ActionRequestSpec{
		Cluster: "b", Action: "scale", Target: half.Spec.Request.Target, Rollout: &v1alpha1.Reference{Name: "r", UID: string(half.UID)}}}
	hub, err := client.New(h.hub, client.Options{Scheme: h.admin.Scheme()})
	require.NoError(t, err)
	require.NoError(t, hub.Create(t.Context(), made))

	stop = h.run()
	h.asked("r.a", "r.b", "r.c", "r.d")
	stop()
	h.end(v1alpha1.PhaseSucceeded, "r.b", "r.c")
	stop = h.run()
	defer stop()
	h.end(v1alpha1.PhaseSucceeded, "r.d")
	done := h.until("r", v1alpha1.RolloutSucceeded)
	require.Equal(t, "4/4", done.Status.Progress)
	require.Equal(t, "2/2", done.Status.Wave)
	require.Equal(t, string(made.UID), done.Status.Waves[1].Clusters[0].Request, "the one that was made is the one that counts")
	h.asked("r.a", "r.b", "r.c", "r.d")
	stop() // what is counted is counted after it was written
	require.Equal(t, []string{"Succeeded"}, h.taken.ended)
}

// The first failure stops a fleet, and what was done is undone.
func TestAFailureIsUndoneByRequests(t *testing.T) {
	h := newHouse(t)
	defer h.run()()
	require.NoError(t, h.admin.Create(t.Context(), h.fleet("r", 2, func(s *v1alpha1.RolloutSpec) { s.OnFailure = v1alpha1.FailureUndo })))
	h.asked("r.a", "r.b")
	h.end(v1alpha1.PhaseSucceeded, "r.a")
	h.end(v1alpha1.PhaseFailed, "r.b")
	h.asked("r.a", "r.a.undo", "r.b")
	h.until("r", v1alpha1.RolloutUndoing)
	h.end(v1alpha1.PhaseSucceeded, "r.a.undo")
	done := h.until("r", v1alpha1.RolloutUndone)
	require.EqualValues(t, 1, done.Status.Undone)
	h.asked("r.a", "r.a.undo", "r.b")
}

func TestAbortWithdraws(t *testing.T) {
	h := newHouse(t)
	defer h.run()()
	r := h.fleet("r", 1, nil)
	require.NoError(t, h.admin.Create(t.Context(), r))
	h.asked("r.a")
	h.end(v1alpha1.PhaseAwaitingApproval, "r.a")
	require.NoError(t, h.admin.Patch(t.Context(), r, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"aborted":true}}`))))
	worldtest.Eventually(t, "the request to be withdrawn", func(ctx context.Context) error {
		var request v1alpha1.ActionRequest
		require.NoError(t, h.admin.Get(ctx, client.ObjectKey{Namespace: h.in, Name: "r.a"}, &request))
		h.taken.mu.Lock()
		defer h.taken.mu.Unlock()
		if !slices.Contains(h.taken.withdrawn, string(request.UID)) {
			return fmt.Errorf("withdrawn: %v", h.taken.withdrawn)
		}
		return nil
	})
	h.until("r", v1alpha1.RolloutStopping)
	h.end(v1alpha1.PhaseRefused, "r.a")
	h.until("r", v1alpha1.RolloutAborted)
	err := h.admin.Patch(t.Context(), r, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"aborted":false}}`)))
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	h.asked("r.a")
}
