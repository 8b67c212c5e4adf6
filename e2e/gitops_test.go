package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// What Flux owns is not changed until a policy says what then; and once something has put a change back, the agent that made it may not
// make it again.
func TestWhatAnotherToolOwns(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before := fleet.Deployment("checkout", 3)
	before.Labels["kustomize.toolkit.fluxcd.io/name"] = "shop"
	require.NoError(t, w.east.Create(ctx, before))
	require.NoError(t, fleet.Ready(ctx, w.east, "checkout", fleet.GoodImage))
	agent, own, err := f.Agent(ctx)
	require.NoError(t, err)
	four := func() *v1alpha1.ActionRequest {
		r := requestFor("scale", "checkout", `{"replicas":4}`)
		r.Namespace, r.Spec.AgentClass = own, fleet.AgentClass
		require.NoError(t, agent.Create(ctx, r))
		return r
	}
	no := w.refused(ctx, four(), refusal.NoPolicy, before)
	require.Contains(t, no.Status.Message, "flux owns deployment/shop/checkout")

	policy := &v1alpha1.ActionPolicy{}
	policy.Name = "shop"
	require.NoError(t, f.Client.Patch(ctx, policy, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"gitOps":"notify"}}`))))
	var first *v1alpha1.ActionRequest
	require.Eventually(t, func() bool { // until the hub has seen the policy
		first = w.ended(ctx, four())
		return first.Status.Phase == v1alpha1.PhaseSucceeded
	}, time.Minute, 100*time.Millisecond)
	require.Equal(t, v1alpha1.GitOpsNotify, first.Status.Verdict.GitOps)
	require.Equal(t, "replicas 3 → 4", first.Status.Change)

	require.NoError(t, w.east.Patch(ctx, before, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":3}}`))))
	require.NoError(t, fleet.Ready(ctx, w.east, "checkout", fleet.GoodImage))
	no = w.refused(ctx, four(), refusal.Reverted, before)
	require.Contains(t, no.Status.Message, first.Name+" made this change at ")
	clean(ctx, t, f)
}
