package kind

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// rollouts takes one scale through both clusters; then one that fails in the first and never reaches the second; then one that
// fails in the second and is undone in the first.
func rollouts(s *scene) {
	hub := s.Clusters[stage.Hub].Client
	dev, err := s.Person("dev", "developers")
	require.NoError(s, err)
	ask := func(name string, replicas string, more ...string) (*v1alpha1.Rollout, string) {
		began := time.Now()
		out, _ := s.WritAs(s.ctx, dev, append([]string{"rollout", "create", name, "-n", "default", "--waves", "1", "--wait", "--action", "scale",
			"--target", "deployment/" + stage.Shop + "/stock", "--param", "replicas=" + replicas, "--reason", "end to end"}, more...)...)
		r := &v1alpha1.Rollout{}
		require.NoError(s, hub.Get(s.ctx, client.ObjectKey{Namespace: "default", Name: name}, r), out)
		say(began, "rollout %s: %s", name, r.Status.Message)
		return r, out
	}
	replicas := func(cluster string, want int32) {
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		defer cancel()
		d := fleet.Deployment("stock", 0)
		require.NoError(s, s.Clusters[cluster].Client.Get(ctx, client.ObjectKeyFromObject(d), d))
		require.Equal(s, want, *d.Spec.Replicas)
	}
	east, _, err := s.Deploy(s.ctx, stage.East, "stock", 2)
	require.NoError(s, err)
	west, _, err := s.Deploy(s.ctx, stage.West, "stock", 2)
	require.NoError(s, err)
	defer func() { _ = s.Clusters[stage.East].Client.Delete(context.WithoutCancel(s.ctx), east) }()

	through, out := ask("through", "3", "--clusters", stage.East+","+stage.West)
	require.Equal(s, v1alpha1.RolloutSucceeded, through.Status.Phase, out)
	require.NoError(s, contains(out, "(2/2)"))
	replicas(stage.East, 3)
	replicas(stage.West, 3)
	require.NoError(s, s.Clusters[stage.West].Client.Delete(s.ctx, west))

	stopped, out := ask("stopped", "4", "--clusters", stage.West+","+stage.East)
	require.Equal(s, v1alpha1.RolloutStopped, stopped.Status.Phase, out)
	err = hub.Get(s.ctx, client.ObjectKey{Namespace: "default", Name: v1alpha1.RequestName("stopped", stage.East)}, &v1alpha1.ActionRequest{})
	require.True(s, apierrors.IsNotFound(err), "the second cluster was never asked: %v", err)
	replicas(stage.East, 3)

	undone, out := ask("undone", "4", "--clusters", stage.East+","+stage.West, "--on-failure", "undo")
	require.Equal(s, v1alpha1.RolloutUndone, undone.Status.Phase, out)
	replicas(stage.East, 3)
	for _, r := range []*v1alpha1.Rollout{through, stopped, undone} {
		require.NoError(s, hub.Delete(s.ctx, r))
	}
}
