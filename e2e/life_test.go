package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// One action's whole life: a rollout breaks, the spoke reports it, the playbook proposes, somebody approves, the Deployment
// heals, and the audit log verifies.
func TestABrokenRolloutHeals(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	east, err := f.Workloads("east")
	require.NoError(t, err)
	require.NoError(t, east.Create(ctx, fleet.Deployment("checkout", 3)))
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	require.NoError(t, fleet.SetImage(ctx, east, "checkout", fleet.BadImage))
	var r v1alpha1.ActionRequest
	require.Eventually(t, func() bool {
		var list v1alpha1.ActionRequestList
		require.NoError(t, f.Client.List(ctx, &list))
		if len(list.Items) > 0 {
			r = list.Items[0]
		}
		return len(list.Items) > 0
	}, 30*time.Second, 50*time.Millisecond)
	waiting, err := f.Until(ctx, client.ObjectKeyFromObject(&r), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)
	require.Equal(t, "deployment/shop/checkout", waiting.Status.Diff.Object)
	require.Equal(t, "InProcess", waiting.Status.Diff.Place)
	require.Equal(t, []v1alpha1.FieldChange{{Path: `spec.template.spec.containers["main"].image`, Before: `"` + fleet.BadImage + `"`, After: `"` + fleet.GoodImage + `"`}},
		waiting.Status.Diff.Changes, "the approver sees what would change")
	require.NotNil(t, waiting.Status.Decision, "and why")
	require.Len(t, waiting.Status.Decision.Evidence, 1)
	require.Equal(t, "DeploymentNotProgressing", waiting.Status.Decision.Evidence[0].Reason)
	require.Equal(t, "deployment/shop/checkout", waiting.Status.Decision.Evidence[0].Object)
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	require.NoError(t, fleet.Approve(ctx, sre, waiting, v1alpha1.Approve))
	_, err = f.Until(ctx, client.ObjectKeyFromObject(&r), fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err)
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	out, err := f.Writ(ctx, "audit", "verify")
	require.NoError(t, err, out)
	t.Log(out)
}
