package kind

import (
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// guards asks for 21 replicas where the hub's policies, the cluster's own policy in the spoke, and admission in the cluster each
// allow 20, the other two being opened wide; and with all three open.
func guards(s *scene) {
	const open, closed = "[{actions: [scale], namespaces: [shop], maxTier: medium}]", "[{actions: [scale], namespaces: [shop], maxTier: medium, maxReplicas: 20}]"
	d, _, err := s.Deploy(s.ctx, stage.West, "guarded", 2)
	require.NoError(s, err)
	var policy v1alpha1.ActionPolicy
	require.NoError(s, s.Clusters[stage.Hub].Client.Get(s.ctx, client.ObjectKey{Name: "shop"}, &policy))
	former := policy.Spec.Validations
	atMost := func(validations []v1alpha1.PolicyValidation) {
		before := policy.DeepCopy()
		policy.Spec.Validations = validations
		require.NoError(s, s.Clusters[stage.Hub].Client.Patch(s.ctx, &policy, client.MergeFrom(before)))
	}
	for _, guard := range []struct {
		name        string
		validations []v1alpha1.PolicyValidation
		rules       string
		maxReplicas int
		reason      refusal.Reason // none where all are open
		says        string
	}{
		{"none", nil, open, 10000, "", "waiting for an approver"},
		{"the hub's policies", former, open, 10000, refusal.PolicyDenied, "at most 20 replicas"},
		{"the cluster's own policy", nil, closed, 10000, refusal.LocalPolicyDenied, "at most 20 are allowed"},
		{"admission in the cluster", nil, open, 20, refusal.DryRunRefused, "allows actions 20 replicas at most"},
	} {
		atMost(guard.validations)
		require.NoError(s, s.Allow(s.ctx, stage.West, guard.rules, guard.maxReplicas))
		began := time.Now()
		r := s.untilRefused(d.Name, guard.reason)
		require.Contains(s, r.Status.Message, guard.says)
		var now appsv1.Deployment
		require.NoError(s, s.Clusters[stage.West].Client.Get(s.ctx, client.ObjectKeyFromObject(d), &now))
		require.Equal(s, d.Generation, now.Generation, "nothing was changed")
		say(began, "closed: %s: %s", guard.name, r.Status.Message)
	}
	atMost(former)
	require.NoError(s, s.Allow(s.ctx, stage.West, usual, 100))
	require.NoError(s, s.Clusters[stage.West].Client.Delete(s.ctx, d))
}

// untilRefused asks for 21 replicas again and again, denying what only waits for an approver, until it is refused for the reason:
// what was changed a moment ago is in force a moment later. Without a reason it is the first that waits for one.
func (s *scene) untilRefused(name string, reason refusal.Reason) *v1alpha1.ActionRequest {
	s.Helper()
	sam, err := s.Person("sam", "sre")
	require.NoError(s, err)
	for {
		r, err := s.Scale(s.ctx, stage.West, name, 21)
		require.NoError(s, err)
		require.NoError(s, s.Until(s.ctx, r, time.Minute, func(p v1alpha1.Phase) bool { return p == v1alpha1.PhaseAwaitingApproval || p.Final() }))
		if r.Status.Phase == v1alpha1.PhaseAwaitingApproval {
			_, err := s.WritAs(s.ctx, sam, "deny", r.Namespace+"/"+r.Name, "--yes", "--reason", "only to see")
			require.NoError(s, err)
			if reason == "" {
				return r
			}
			continue
		}
		require.Equal(s, v1alpha1.PhaseRefused, r.Status.Phase, r.Status.Message)
		if r.Status.Reason == string(reason) {
			return r
		}
	}
}
