package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// A cluster is revoked while its spoke is connected: it is cut off, stays so through a restart of the hub and of the spoke, and
// nothing is signed for it. Another cluster goes on. Once removed, nothing of the old spoke counts.
func TestARevokedClusterIsCutOff(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for _, name := range []string{"east", "west"} {
		c, err := f.Workloads(name)
		require.NoError(t, err)
		require.NoError(t, c.Create(ctx, fleet.Deployment("checkout", 4)))
		require.NoError(t, fleet.Ready(ctx, c, "checkout", fleet.GoodImage))
	}
	carriedOut(ctx, t, f, scaleIn("east", "before", "5"))
	_, err := f.Writ(ctx, "cluster", "revoke", "east", "--yes")
	require.ErrorContains(t, err, "--reason is needed")
	_, err = f.Writ(ctx, "cluster", "revoke", "north", "--yes", "--reason", "stolen")
	require.ErrorContains(t, err, `there is no cluster "north"`)
	waiting := scaleIn("east", "waiting", "12") // tier medium: judged, and not approved yet
	require.NoError(t, f.Client.Create(ctx, waiting))
	open, err := f.Until(ctx, client.ObjectKeyFromObject(waiting), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)

	out, err := f.Writ(ctx, "cluster", "revoke", "east", "--yes", "--reason", "its node was stolen")
	require.NoError(t, err)
	require.Contains(t, out, "cluster east is revoked")
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(f.LogOf("writ-spoke-east"))
		return err == nil && strings.Contains(string(raw), "is not, or no longer, enrolled")
	}, 2*time.Second, 20*time.Millisecond, "the open stream is closed")
	cutOff := func() {
		t.Helper()
		var object v1alpha1.Cluster
		require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Name: "east"}, &object))
		require.Equal(t, v1alpha1.ClusterRevoked, object.Status.Phase)
		require.False(t, object.Status.Connected)
		r := scaleIn("east", "", "6")
		r.GenerateName = "after-"
		require.NoError(t, f.Client.Create(ctx, r))
		r, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseRefused))
		require.NoError(t, err)
		require.Equal(t, string(refusal.ClusterUnknown), r.Status.Reason)
	}
	cutOff()
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	require.NoError(t, fleet.Approve(ctx, sre, open, v1alpha1.Approve))
	r, err := f.Until(ctx, client.ObjectKeyFromObject(waiting), fleet.Phase(v1alpha1.PhaseRefused))
	require.NoError(t, err)
	require.Nil(t, r.Status.Bundle)
	carriedOut(ctx, t, f, scaleIn("west", "west", "5"))

	f.KillSpoke("east")
	f.KillHub()
	require.NoError(t, f.StartHub(ctx))
	_, err = f.LaunchSpoke("east")
	require.NoError(t, err)
	carriedOut(ctx, t, f, scaleIn("west", "west-again", "6"))
	cutOff()
	_, err = f.Writ(ctx, "cluster", "register", "east", "--workload", f.Clusters["east"].Kubeconfig(), "--print", "-f", t.TempDir()+"/east.join")
	require.ErrorContains(t, err, "cluster east is revoked; remove it first")

	_, err = f.Writ(ctx, "cluster", "remove", "east", "--yes")
	require.NoError(t, err)
	_, err = f.Writ(ctx, "cluster", "register", "east", "--workload", f.Clusters["east"].Kubeconfig(), "--print", "-f", t.TempDir()+"/east.join")
	require.NoError(t, err)
	f.KillSpoke("east")
	_, err = f.LaunchSpoke("east") // with the identity of before
	require.NoError(t, err)
	carriedOut(ctx, t, f, scaleIn("west", "west-still", "7"))
	var object v1alpha1.Cluster
	require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Name: "east"}, &object))
	require.Equal(t, v1alpha1.ClusterPending, object.Status.Phase, "the spoke of before is not let in under the name")
	out, err = f.Writ(ctx, "audit", "verify")
	require.NoError(t, err)
	require.Contains(t, out, "nothing was found")
}
