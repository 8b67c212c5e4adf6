package e2e

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// parked is how many bundles wait for the stuck spoke: more than its connection's flow control lets through.
const parked = 64

// One spoke stops reading while its queue is full. The other spoke's actions go on as before, and once the stuck one wakes up
// it has all of its own.
func TestAStuckSpokeDelaysNobody(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}, PerMinute: 100000, Queue: parked})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before := w.several(ctx, "before", 10)
	park(ctx, t, f)
	t.Cleanup(func() { signalSpoke(t, f, "west", syscall.SIGCONT) })
	during := w.several(ctx, "during", 10)
	t.Logf("an action of east takes %s (median), with west stuck %s", before, during)

	signalSpoke(t, f, "west", syscall.SIGCONT)
	for i := range parked {
		_, err := f.Until(ctx, client.ObjectKey{Namespace: "default", Name: parkedName(i)}, fleet.Phase(v1alpha1.PhaseSucceeded))
		require.NoError(t, err)
	}
	clean(ctx, t, f)
}

// several has actions carried out, one after the other, and returns how long the median one took.
func (w *workloads) several(ctx context.Context, name string, n int) time.Duration {
	w.t.Helper()
	d := w.create(ctx, name)
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		w.succeeded(ctx, w.scale(ctx, name, 4-i%2), d)
		took[i] = time.Since(began)
		require.NoError(w.t, w.east.Get(ctx, client.ObjectKeyFromObject(d), d))
	}
	slices.Sort(took)
	return took[n/2]
}

// park has the queue of west filled up while its spoke is stopped.
func park(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	t.Helper()
	west, err := f.Workloads("west")
	require.NoError(t, err)
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	waiting := make([]*v1alpha1.ActionRequest, parked)
	for i := range waiting {
		require.NoError(t, west.Create(ctx, fleet.Deployment(parkedName(i), 1)))
		r := requestFor("scale", parkedName(i), `{"replicas":2}`)
		r.GenerateName, r.Name, r.Spec.Cluster = "", parkedName(i), "west"
		require.NoError(t, f.Client.Create(ctx, r))
		waiting[i] = r
	}
	for i, r := range waiting {
		waiting[i], err = f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
		require.NoError(t, err)
	}
	signalSpoke(t, f, "west", syscall.SIGSTOP)
	for _, r := range waiting {
		require.NoError(t, fleet.Approve(ctx, sre, r, v1alpha1.Approve))
	}
	for _, r := range waiting {
		_, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseDispatched))
		require.NoError(t, err)
	}
}

func parkedName(i int) string { return fmt.Sprintf("parked-%d", i) }

func signalSpoke(t *testing.T, f *fleet.Fleet, cluster string, s syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(f.Process("writ-spoke-"+cluster).PID(), s))
}
