package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// The tests of this file are not run beside others: they count on an API server that comes back to be quick about it.

// approved asks for six replicas, which somebody has to approve, and returns what approves it.
func (w *workloads) approved(ctx context.Context, name string) (r *v1alpha1.ActionRequest, approve func()) {
	w.t.Helper()
	r = w.scale(ctx, name, 6)
	waiting, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(w.t, err)
	sre, err := w.f.As("sam", "sre")
	require.NoError(w.t, err)
	return r, func() { w.t.Helper(); require.NoError(w.t, fleet.Approve(ctx, sre, waiting, v1alpha1.Approve)) }
}

// until waits for a phase.
func (w *workloads) until(ctx context.Context, r *v1alpha1.ActionRequest, phase v1alpha1.Phase) {
	w.t.Helper()
	_, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(phase))
	require.NoError(w.t, err)
}

// applied waits until a change was made and told of, once. What it brings about may take longer: Kubernetes' own controllers
// take up to a minute to come back to an API server that was away.
func (w *workloads) applied(ctx context.Context, r *v1alpha1.ActionRequest, before *appsv1.Deployment) {
	w.t.Helper()
	done, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseObserving || r.Status.Phase.Final()
	})
	require.NoError(w.t, err)
	require.NotEmpty(w.t, done.Status.Change, done.Status.Message)
	require.Equal(w.t, before.Generation+1, w.generation(ctx, before.Name))
}

// The workload cluster's API server goes while actions are under way: what cannot be done by its deadline is reported as not
// done and never done later, and what can is done once.
func TestTheWorkloadsAPIServerGoes(t *testing.T) {
	f := start(t, fleet.Options{Clusters: []string{"east"}, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	lostBefore, keptBefore, nextBefore := w.create(ctx, "lost"), w.create(ctx, "kept"), w.create(ctx, "next")
	lost, approveLost := w.approved(ctx, "lost")
	kept, approveKept := w.approved(ctx, "kept")
	f.Clusters["east"].StopAPIServer()
	spoke := f.Process("writ-spoke-east").PID()

	approveLost()
	w.until(ctx, lost, v1alpha1.PhaseExecuting)
	next := w.scale(ctx, "next", 4)
	done := w.ended(ctx, lost)
	require.Equal(t, v1alpha1.PhaseRefused, done.Status.Phase)
	require.Equal(t, string(refusal.DeadlineExceeded), done.Status.Reason)
	require.Contains(t, done.Status.Message, "not done within 30 s")
	require.NotContains(t, done.Status.Message, "\n")
	t.Log(done.Status.Message)

	approveKept()
	w.until(ctx, kept, v1alpha1.PhaseExecuting)
	require.NoError(t, f.Clusters["east"].StartAPIServer(ctx))
	w.applied(ctx, kept, keptBefore)
	w.applied(ctx, next, nextBefore) // it waited to be looked at
	w.untouched(ctx, lostBefore)
	told(ctx, t, f, done, string(refusal.DeadlineExceeded))
	require.Equal(t, spoke, f.Process("writ-spoke-east").PID())
	running(t, f, "writ-spoke-east")
	clean(ctx, t, f)
}

// The hub's API server goes and comes back: what was asked is done once, and shown.
func TestTheHubsAPIServerGoes(t *testing.T) {
	f := start(t, fleet.Options{Clusters: []string{"east"}, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before, laterBefore := w.create(ctx, "checkout"), w.create(ctx, "later")
	r := w.scale(ctx, "checkout", 4)
	f.Hub.StopAPIServer()
	require.NoError(t, f.Hub.StartAPIServer(ctx))
	w.succeeded(ctx, r, before)
	later := requestFor("scale", "later", `{"replicas":4}`)
	require.Eventually(t, func() bool { // the resources of CRDs are the last to be served again
		return f.Client.Create(ctx, later) == nil
	}, 30*time.Second, 50*time.Millisecond)
	w.succeeded(ctx, later, laterBefore)
	running(t, f, "writ-hub")
	running(t, f, "writ-spoke-east")
	clean(ctx, t, f)
}

// The hub is stopped and started while a spoke is connected: the spoke lives on, and what was asked meanwhile is done.
func TestTheSpokeOutlivesTheHub(t *testing.T) {
	f := start(t, fleet.Options{Clusters: []string{"east"}, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	for name, stop := range map[string]func(){
		"stopped": func() { f.Process("writ-hub").Stop(10 * time.Second) },
		"killed":  f.KillHub,
	} {
		t.Run(name, func(t *testing.T) {
			w := &workloads{t, f, w.east}
			before := w.create(ctx, name)
			stop()
			r := w.scale(ctx, name, 4)
			require.NoError(t, f.StartHub(ctx))
			w.succeeded(ctx, r, before)
			running(t, f, "writ-spoke-east")
		})
	}
	clean(ctx, t, f)
}

// Vault is sealed: nothing is done without a credential, the request says why, and once it is unsealed the next one works.
func TestVaultIsSealed(t *testing.T) {
	f := start(t, fleet.Options{Clusters: []string{"east"}, Vault: true, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before, keptBefore := w.create(ctx, "checkout"), w.create(ctx, "kept")
	kept, approve := w.approved(ctx, "kept")
	require.NoError(t, f.Vault.Seal(ctx))
	r := w.scale(ctx, "checkout", 4)
	w.refused(ctx, r, refusal.DeadlineExceeded, before)
	done := w.ended(ctx, r)
	require.Contains(t, done.Status.Message, "vault is sealed")
	t.Log(done.Status.Message)

	approve()
	w.until(ctx, kept, v1alpha1.PhaseExecuting)
	require.NoError(t, f.Vault.Unseal(ctx))
	w.succeeded(ctx, kept, keptBefore) // unsealed before its deadline
	w.succeeded(ctx, w.scale(ctx, "checkout", 4), before)
	clean(ctx, t, f)
}

// running checks that a program has not ended.
func running(t *testing.T, f *fleet.Fleet, name string) {
	t.Helper()
	require.NoError(t, f.Process(name).Failure())
}

// logged counts a message in the log of a program.
func logged(t *testing.T, f *fleet.Fleet, name, message string) int {
	t.Helper()
	raw, err := os.ReadFile(f.LogOf(name))
	require.NoError(t, err)
	return strings.Count(string(raw), message)
}
