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

// A cluster is frozen while its spoke is cut off and a bundle is queued for it: neither a restart of the hub nor one of the spoke
// has it executed, and what is asked meanwhile is refused. Another cluster goes on. Once thawed, the cluster does what is asked.
func TestAFrozenClusterStaysFrozen(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, name := range []string{"east", "west"} {
		c, err := f.Workloads(name)
		require.NoError(t, err)
		require.NoError(t, c.Create(ctx, fleet.Deployment("checkout", 4)))
		require.NoError(t, fleet.Ready(ctx, c, "checkout", fleet.GoodImage))
	}
	queued := scaleIn("east", "queued", "12") // tier medium
	require.NoError(t, f.Client.Create(ctx, queued))
	open, err := f.Until(ctx, client.ObjectKeyFromObject(queued), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)
	f.KillSpoke("east")
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	require.NoError(t, fleet.Approve(ctx, sre, open, v1alpha1.Approve))
	_, err = f.Until(ctx, client.ObjectKeyFromObject(queued), fleet.Phase(v1alpha1.PhaseDispatched))
	require.NoError(t, err)

	out, err := f.Writ(ctx, "freeze", "--cluster", "east", "--reason", "the database moves", "-o", "name")
	require.NoError(t, err)
	_, name, ok := strings.Cut(strings.TrimSpace(out), "/")
	require.True(t, ok, out)
	frozen := func(name string) {
		t.Helper()
		r := scaleIn("east", name, "5")
		require.NoError(t, f.Client.Create(ctx, r))
		r, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseRefused))
		require.NoError(t, err)
		require.Equal(t, string(refusal.Frozen), r.Status.Reason)
		require.Contains(t, r.Status.Message, "the database moves")
		require.Nil(t, r.Status.Bundle)
	}
	frozen("meanwhile")
	carriedOut(ctx, t, f, scaleIn("west", "west", "5"))

	f.KillHub()
	require.NoError(t, f.StartHub(ctx))
	require.NoError(t, f.StartSpoke(ctx, "east"))
	r, err := f.Until(ctx, client.ObjectKeyFromObject(queued), fleet.Phase(v1alpha1.PhaseRefused))
	require.NoError(t, err)
	require.Equal(t, string(refusal.Frozen), r.Status.Reason)
	require.Contains(t, r.Status.Message, "freeze "+name+" of")
	require.NotEmpty(t, r.Status.Receipt, "the spoke itself says so")
	frozen("after")
	out, err = f.Writ(ctx, "cluster", "describe", "east")
	require.NoError(t, err)
	require.Contains(t, out, "the database moves")

	f.KillHub() // thawed by nobody who can tell the spoke
	_, err = f.Writ(ctx, "unfreeze", name)
	require.NoError(t, err)
	f.KillSpoke("east")
	require.NoError(t, f.StartHub(ctx))
	require.NoError(t, f.StartSpoke(ctx, "east"))
	require.Eventually(t, func() bool { // the hub opens what was thawed once spokes are told
		var east v1alpha1.Cluster
		return f.Client.Get(ctx, client.ObjectKey{Name: "east"}, &east) == nil && len(east.Status.Freezes) == 0
	}, time.Minute, 50*time.Millisecond)
	carriedOut(ctx, t, f, scaleIn("east", "thawed", "5"))
	workloads, err := f.Workloads("east")
	require.NoError(t, err)
	var d appsv1.Deployment
	require.NoError(t, workloads.Get(ctx, client.ObjectKey{Namespace: fleet.Namespace, Name: "checkout"}, &d))
	require.EqualValues(t, 5, *d.Spec.Replicas)
	raw, err := os.ReadFile(f.LogOf("writ-spoke-east"))
	require.NoError(t, err)
	require.Contains(t, string(raw), "holds what the hub has frozen")
	clean(ctx, t, f)
}
