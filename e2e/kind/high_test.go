package kind

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// What the quickstart's cluster admin allows, and what more these scenarios need.
const (
	usual    = "[{actions: [rollback, rollout-restart], namespaces: [shop], maxTier: medium}, {actions: [scale], namespaces: [shop], maxTier: medium, maxReplicas: 50}]"
	alsoHigh = "[{actions: [scale], namespaces: [shop], maxTier: high}]"
)

// high stops a Deployment, which takes the signatures of two approvers over the order that was rehearsed by a Job in the cluster;
// one is not enough.
func high(s *scene) {
	for _, cluster := range []string{stage.East, stage.West} {
		require.NoError(s, s.Allow(s.ctx, cluster, alsoHigh, 100))
		d, _, err := s.Deploy(s.ctx, cluster, "ledger", 2)
		require.NoError(s, err)
		r, err := s.Scale(s.ctx, cluster, d.Name, 0)
		require.NoError(s, err)
		s.says(r, "0 of 2 have")
		require.Equal(s, "high", r.Status.Tier)
		require.NotNil(s, r.Status.Diff)
		require.Equal(s, "Sandbox", r.Status.Diff.Place)
		require.Equal(s, []v1alpha1.FieldChange{{Path: "spec.replicas", Before: "2", After: "0"}}, r.Status.Diff.Changes)

		s.signs("sam", r)
		s.says(r, "1 of 2 have")
		now := &appsv1.Deployment{}
		require.NoError(s, s.Clusters[cluster].Client.Get(s.ctx, client.ObjectKeyFromObject(d), now))
		require.Equal(s, d.Generation, now.Generation, "one signature changes nothing")

		signed := time.Now()
		s.signs("kim", r)
		require.NoError(s, s.Until(s.ctx, r, time.Minute, v1alpha1.Phase.Final))
		require.Equal(s, v1alpha1.PhaseSucceeded, r.Status.Phase, r.Status.Message)
		say(signed, "%s: the second signature given, the Deployment stopped, and seen to be", cluster)
		decoded, refused := bundle.Decode([]byte(r.Status.Bundle.Envelope))
		require.Nil(s, refused)
		require.Len(s, decoded.OrderEnvelope.Signatures, 2)
		require.NoError(s, s.Clusters[cluster].Client.Get(s.ctx, client.ObjectKeyFromObject(d), now))
		require.Zero(s, *now.Spec.Replicas)
		require.NoError(s, s.Clusters[cluster].Client.Delete(s.ctx, now))
		require.NoError(s, s.Allow(s.ctx, cluster, usual, 100))
	}
}

// says waits until a request that is under way says something.
func (s *scene) says(r *v1alpha1.ActionRequest, what string) {
	s.Helper()
	require.NoError(s, stage.Await(s.ctx, "request "+r.Name, time.Minute, func(ctx context.Context) error {
		if err := s.Clusters[stage.Hub].Client.Get(ctx, client.ObjectKeyFromObject(r), r); err != nil {
			return err
		}
		return contains(r.Status.Message, what)
	}))
}

// signs has an approver approve with their own key.
func (s *scene) signs(who string, r *v1alpha1.ActionRequest) {
	s.Helper()
	person, err := s.Person(who, "sre")
	require.NoError(s, err)
	_, err = s.WritAs(s.ctx, person, "approve", r.Namespace+"/"+r.Name, "--yes", "--key", s.ApproverKey(who))
	require.NoError(s, err)
}
