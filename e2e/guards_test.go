package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
)

// A scale beyond the threshold is stopped by each of the three guards alone, with the other two opened wide: the hub's policies,
// the cluster's own policy in the spoke, and admission in the workload cluster.
func TestEachGuardStopsAloneWhatIsBeyondTheThreshold(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Bare: true, PerMinute: 100000})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	g := &guards{newWorkloads(t, f)}
	before := fleet.Deployment("checkout", 3)
	require.NoError(t, g.east.Create(ctx, before))
	for name, tc := range map[string]struct {
		close  func(ctx context.Context)
		reason refusal.Reason
		says   string
	}{
		"the hub's policies":       {func(ctx context.Context) { g.hub(ctx, "20") }, refusal.PolicyDenied, "at most 20"},
		"the cluster's own policy": {func(context.Context) { g.spoke("    maxReplicas: 20\n") }, refusal.LocalPolicyDenied, "at most 20 are allowed"},
		"admission in the cluster": {func(ctx context.Context) { g.admission(ctx, "20") }, refusal.DryRunRefused, "allows actions 20 replicas at most"},
	} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			g.hub(ctx, "10000")
			g.spoke("")
			g.admission(ctx, "10000")
			waiting := g.until(ctx, func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase == v1alpha1.PhaseAwaitingApproval })
			require.Equal(t, []v1alpha1.FieldChange{{Path: "spec.replicas", Before: "3", After: "21"}}, waiting.Status.Diff.Changes,
				"with all three open it is only to be approved")
			tc.close(ctx)
			stopped := g.until(ctx, func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase == v1alpha1.PhaseRefused })
			require.Equal(t, string(tc.reason), stopped.Status.Reason, stopped.Status.Message)
			require.Contains(t, stopped.Status.Message, tc.says)
			g.untouched(ctx, before)
		})
	}
}

// until asks again and again for a scale to 21, denying what would only need an approval, until it ends as wanted: what was
// changed a moment ago is in force a moment later.
func (g *guards) until(ctx context.Context, wanted func(*v1alpha1.ActionRequest) bool) *v1alpha1.ActionRequest {
	g.t.Helper()
	sre, err := g.f.As("sam", "sre")
	require.NoError(g.t, err)
	for {
		r, err := g.f.Until(ctx, client.ObjectKeyFromObject(g.scale(ctx, "checkout", 21)), func(r *v1alpha1.ActionRequest) bool {
			return r.Status.Phase == v1alpha1.PhaseAwaitingApproval || r.Status.Phase.Final()
		})
		require.NoError(g.t, err)
		if r.Status.Phase == v1alpha1.PhaseAwaitingApproval {
			require.NoError(g.t, fleet.Approve(ctx, sre, r, v1alpha1.Deny))
			_, err = g.f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
			require.NoError(g.t, err)
		}
		if wanted(r) {
			return r
		}
	}
}

// guards sets the thresholds of the three.
type guards struct{ *workloads }

func (g *guards) hub(ctx context.Context, most string) {
	g.t.Helper()
	var policy v1alpha1.ActionPolicy
	require.NoError(g.t, g.f.Client.Get(ctx, client.ObjectKey{Name: "shop"}, &policy))
	policy.Spec.Validations = []v1alpha1.PolicyValidation{{Expression: `action != "scale" || parameters.replicas <= ` + most, Message: "at most " + most}}
	require.NoError(g.t, g.f.Client.Update(ctx, &policy))
}

func (g *guards) spoke(bound string) {
	g.t.Helper()
	rules := "rules:\n  - actions: [scale]\n    namespaces: [shop]\n    maxTier: medium\n" + bound
	next := filepath.Join(g.f.Dir, "next.policy.yaml")
	require.NoError(g.t, os.WriteFile(next, []byte(rules), 0o600))
	require.NoError(g.t, os.Rename(next, filepath.Join(g.f.Dir, "east.policy.yaml")))
}

func (g *guards) admission(ctx context.Context, most string) {
	g.t.Helper()
	limits := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: deployspoke.SystemNamespace, Name: deployspoke.LimitsConfigMap}}
	require.NoError(g.t, g.east.Patch(ctx, limits, client.RawPatch(types.MergePatchType, []byte(`{"data":{"maxReplicas":"`+most+`"}}`))))
}
