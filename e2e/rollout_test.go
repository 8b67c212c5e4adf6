package e2e

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// A rollout over two clusters: the first failure stops it; one that fails later is undone by requests of their own, judged and
// logged like any other, in the name of the person who made the rollout, across a hub that is killed in between.
func TestRolloutsOverTwoClusters(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	east, err := f.Workloads("east")
	require.NoError(t, err)
	west, err := f.Workloads("west")
	require.NoError(t, err)
	for _, c := range []client.Client{east, west} {
		require.NoError(t, c.Create(ctx, fleet.Deployment("checkout", 4)))
	}
	require.NoError(t, east.Create(ctx, fleet.Deployment("billing", 4))) // and not in the west
	for _, name := range []string{"checkout", "billing"} {
		require.NoError(t, fleet.Ready(ctx, east, name, fleet.GoodImage))
	}
	require.NoError(t, fleet.Ready(ctx, west, "checkout", fleet.GoodImage))
	dev, err := f.As("dev", "developers")
	require.NoError(t, err)

	t.Run("stopped by its first failure", func(t *testing.T) {
		r := rolloutOf("billing", `{"replicas":5}`, "west", "east")
		require.NoError(t, dev.Create(ctx, r))
		done := rolledOut(ctx, t, f, r, v1alpha1.RolloutStopped)
		require.Contains(t, done.Status.Message, "west: Refused")
		require.Equal(t, string(refusal.TargetNotFound), done.Status.Waves[0].Clusters[0].Reason)
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name + ".east"}, &v1alpha1.ActionRequest{})
		require.True(t, apierrors.IsNotFound(err), "the second wave was never asked for: %v", err)
		require.NoError(t, fleet.Ready(ctx, east, "billing", fleet.GoodImage))
	})
	t.Run("through the fleet, while the hub is killed", func(t *testing.T) {
		r := rolloutOf("checkout", `{"replicas":5}`, "east", "west")
		require.NoError(t, dev.Create(ctx, r))
		require.Eventually(t, func() bool {
			return f.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name + ".east"}, &v1alpha1.ActionRequest{}) == nil
		}, 30*time.Second, 10*time.Millisecond)
		f.KillHub()
		require.NoError(t, f.StartHub(ctx))
		done := rolledOut(ctx, t, f, r, v1alpha1.RolloutSucceeded)
		require.Equal(t, "2/2", done.Status.Progress)
		for _, cluster := range []string{"east", "west"} {
			request, err := f.Until(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name + "." + cluster}, fleet.Phase(v1alpha1.PhaseSucceeded))
			require.NoError(t, err)
			require.Equal(t, v1alpha1.HubAccount, request.Spec.Requester)
			require.Equal(t, "dev", request.Status.Requester, "who made the rollout is who asks")
			told(ctx, t, f, request, "dev")
		}
	})
	t.Run("undone where it fails", func(t *testing.T) {
		r := rolloutOf("billing", `{"replicas":6}`, "east", "west")
		r.Spec.OnFailure = v1alpha1.FailureUndo
		require.NoError(t, dev.Create(ctx, r))
		done := rolledOut(ctx, t, f, r, v1alpha1.RolloutUndone)
		require.Contains(t, done.Status.Message, "all 1 changes are undone")
		undo, err := f.Until(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name + ".east.undo"}, fleet.Phase(v1alpha1.PhaseSucceeded))
		require.NoError(t, err)
		require.Equal(t, "dev", undo.Status.Requester)
		require.Equal(t, "replicas 6 → 4", undo.Status.Change)
		require.NotEmpty(t, undo.Status.OrderDigest, "an undo has an order of its own")
		require.NoError(t, fleet.Ready(ctx, east, "billing", fleet.GoodImage))
	})
	t.Run("the hub's account is not believed", func(t *testing.T) { steadNotBelieved(ctx, t, f) })
	clean(ctx, t, f)
}

// What did not have its effect is undone where the policy says so, by a request that is judged again, even if the hub was away when
// the spoke saw it; what undoes is never undone.
func TestAMissIsUndone(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, f.Client.Patch(ctx, &v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"onMiss":"undo"}}`))))
	east, err := f.Workloads("east")
	require.NoError(t, err)
	broken := fleet.Deployment("checkout", 4)
	broken.Spec.Template.Spec.Containers[0].Image = fleet.BadImage // no pod of it ever becomes ready
	require.NoError(t, east.Create(ctx, broken.DeepCopy()))
	dev, err := f.As("dev", "developers")
	require.NoError(t, err)
	r := requestFor("scale", "checkout", `{"replicas":5}`)
	require.NoError(t, dev.Create(ctx, r))
	_, err = f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseObserving))
	require.NoError(t, err)

	f.KillHub() // the target goes, and comes back as another; the prediction is about the one that went
	require.NoError(t, east.Delete(ctx, broken.DeepCopy()))
	again := broken.DeepCopy()
	again.Spec.Replicas = new(int32(5))
	again.Spec.Template.Spec.Containers[0].Image = fleet.GoodImage
	require.NoError(t, east.Create(ctx, again))
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	require.NoError(t, f.StartHub(ctx))

	missed, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseIneffective))
	require.NoError(t, err)
	require.Equal(t, r.Name+".undo", missed.Status.UndoneBy)
	require.Contains(t, missed.Status.Message, "undone by "+r.Name+".undo")
	require.Equal(t, []v1alpha1.Drift{{Field: "target", Predicted: "there", Actual: "gone"}}, missed.Status.Drift)
	undo, err := f.Until(ctx, client.ObjectKey{Namespace: r.Namespace, Name: missed.Status.UndoneBy}, fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err)
	require.Equal(t, &v1alpha1.Reference{Name: r.Name, UID: string(r.UID)}, undo.Spec.Undoes)
	require.Equal(t, "dev", undo.Status.Requester)
	require.Equal(t, "replicas 5 → 4", undo.Status.Change)
	require.Equal(t, missed.Status.TraceID, undo.Status.TraceID)
	require.Empty(t, undo.Status.UndoneBy)
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	told(ctx, t, f, undo, "dev")
	out, err := f.Writ(ctx, "request", "describe", r.Name)
	require.NoError(t, err)
	require.Contains(t, out, "Undone by")
	require.Contains(t, out, "Drift")
	out, err = f.Writ(ctx, "policy", "explain", r.Name)
	require.NoError(t, err)
	require.Regexp(t, `On a miss +it is undone`, out)
	clean(ctx, t, f)
}

// steadNotBelieved asks with the hub's own account, as who stole it would, for what no rollout asked for.
func steadNotBelieved(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	path, err := f.Hub.KubeconfigForServiceAccount(ctx, "writ-system", "writ-hub", time.Hour)
	require.NoError(t, err)
	thief, err := f.At(path)
	require.NoError(t, err)
	dev, err := f.As("dev", "developers")
	require.NoError(t, err)
	r := rolloutOf("checkout", `{"replicas":6}`, "east")
	r.Spec.Paused = true
	require.NoError(t, dev.Create(ctx, r))
	of := &v1alpha1.Reference{Name: r.Name, UID: string(r.UID)}
	for name, change := range map[string]func(*v1alpha1.ActionRequestSpec){
		"other parameters":    func(s *v1alpha1.ActionRequestSpec) { s.Parameters.Raw = []byte(`{"replicas":7}`) },
		"another target":      func(s *v1alpha1.ActionRequestSpec) { s.Target.Name = "billing" },
		"another action":      func(s *v1alpha1.ActionRequestSpec) { s.Action, s.Parameters = "rollout-restart", nil },
		"another cluster":     func(s *v1alpha1.ActionRequestSpec) { s.Cluster = "west" },
		"another rollout":     func(s *v1alpha1.ActionRequestSpec) { s.Rollout = &v1alpha1.Reference{Name: "no", UID: "no"} },
		"one that was before": func(s *v1alpha1.ActionRequestSpec) { s.Rollout = &v1alpha1.Reference{Name: r.Name, UID: "no"} },
		"undoing nothing":     func(s *v1alpha1.ActionRequestSpec) { s.Undoes = &v1alpha1.Reference{Name: "no", UID: "no"} },
		"undoing alone": func(s *v1alpha1.ActionRequestSpec) {
			s.Rollout, s.Undoes = nil, &v1alpha1.Reference{Name: "no", UID: "no"}
		},
	} {
		request := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: "stolen-"}, Spec: v1alpha1.ActionRequestSpec{
			Cluster: "east", Action: r.Spec.Request.Action, Target: r.Spec.Request.Target, Parameters: r.Spec.Request.Parameters.DeepCopy(), Rollout: of}}
		change(&request.Spec)
		require.NoError(t, thief.Create(ctx, request), name)
		done, err := f.Until(ctx, client.ObjectKeyFromObject(request), fleet.Phase(v1alpha1.PhaseRefused))
		require.NoError(t, err, name)
		require.Equal(t, string(refusal.SteadNotBelieved), done.Status.Reason, "%s: %s", name, done.Status.Message)
		require.Empty(t, done.Status.OrderDigest, name)
	}
}

var rollouts atomic.Int32

func rolloutOf(target, parameters string, clusters ...string) *v1alpha1.Rollout {
	return &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("rollout-%d", rollouts.Add(1))}, Spec: v1alpha1.RolloutSpec{
		Request: v1alpha1.RequestTemplate{Action: "scale", Parameters: &apiextensionsv1.JSON{Raw: []byte(parameters)},
			Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: target}},
		Selector: v1alpha1.ClusterSelector{Names: clusters}, Waves: []v1alpha1.Wave{{Canary: new(int32(1))}}, Pause: "0s", OnFailure: v1alpha1.FailureStop}}
}

// rolledOut waits until a rollout has ended so.
func rolledOut(ctx context.Context, t *testing.T, f *fleet.Fleet, r *v1alpha1.Rollout, phase v1alpha1.RolloutPhase) *v1alpha1.Rollout {
	t.Helper()
	for {
		require.NoError(t, f.Client.Get(ctx, client.ObjectKeyFromObject(r), r), r.Status.Message)
		if r.Status.Phase.Final() {
			require.Equal(t, phase, r.Status.Phase, r.Status.Message)
			return r
		}
		select {
		case <-ctx.Done():
			require.FailNow(t, "it does not end", "%s: %s", r.Status.Phase, r.Status.Message)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
