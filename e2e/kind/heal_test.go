package kind

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"context"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// heal breaks a rollout with an image that no kubelet can pull. The playbook proposes, somebody approves, the Deployment is as
// it was. In one cluster Vault issues the credential, in the other its own API server.
func heal(s *scene) {
	for _, cluster := range []string{stage.East, stage.West} {
		c := s.Clusters[cluster]
		d, good, err := s.Deploy(s.ctx, cluster, "checkout", 2)
		require.NoError(s, err)
		broken := time.Now()
		require.NoError(s, fleet.SetImage(s.ctx, c.Client, d.Name, good+"-does-not-exist"))
		r := s.proposed(cluster)
		say(broken, "%s: the kubelet cannot pull, the spoke said so, the playbook proposes %s", cluster, r.Spec.Action)
		require.NoError(s, s.Until(s.ctx, r, time.Minute, func(p v1alpha1.Phase) bool { return p == v1alpha1.PhaseAwaitingApproval }))

		require.NotNil(s, r.Status.Diff, "rehearsed before anybody is asked")
		require.Equal(s, "Sandbox", r.Status.Diff.Place, "in a Job of its own, by a real kubelet")
		require.Equal(s, []v1alpha1.FieldChange{{Path: fmt.Sprintf(`spec.template.spec.containers[%q].image`, d.Spec.Template.Spec.Containers[0].Name),
			Before: fmt.Sprintf("%q", good+"-does-not-exist"), After: fmt.Sprintf("%q", good)}}, r.Status.Diff.Changes)
		say(broken, "%s: rehearsed in a sandbox Job", cluster)

		sam, err := s.Person("sam", "sre")
		require.NoError(s, err)
		approved := time.Now()
		_, err = s.WritAs(s.ctx, sam, "approve", r.Namespace+"/"+r.Name, "--yes", "--reason", "go back")
		require.NoError(s, err)
		require.NoError(s, s.Until(s.ctx, r, time.Minute, v1alpha1.Phase.Final))
		require.Equal(s, v1alpha1.PhaseSucceeded, r.Status.Phase, r.Status.Message)
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		require.NoError(s, fleet.Ready(ctx, c.Client, d.Name, good))
		cancel()
		say(approved, "%s: approved, rolled back, and seen to be healthy", cluster)
		require.NoError(s, c.Client.Delete(s.ctx, d))
	}
}

// proposed waits for the request that the playbook makes for a cluster.
func (s *scene) proposed(cluster string) *v1alpha1.ActionRequest {
	s.Helper()
	var found *v1alpha1.ActionRequest
	err := stage.Await(s.ctx, "a proposal for "+cluster, 90*time.Second, func(ctx context.Context) error {
		var list v1alpha1.ActionRequestList
		if err := s.Clusters[stage.Hub].Client.List(ctx, &list, client.InNamespace("writ-agent-healer")); err != nil {
			return err
		}
		for i := range list.Items {
			if list.Items[i].Spec.Cluster == cluster {
				found = &list.Items[i]
				return nil
			}
		}
		return fmt.Errorf("there are %d", len(list.Items))
	})
	require.NoError(s, err)
	return found
}

// audit checks the whole log, beside the hub, once nothing is under way.
func audit(s *scene) {
	var said string
	err := stage.Await(s.ctx, "the audit log to be complete", time.Minute, func(ctx context.Context) error {
		var err error
		if said, err = s.VerifyAudit(ctx); err != nil {
			return err
		}
		return contains(said, "nothing was found", "still under way: 0")
	})
	require.NoError(s, err)
	fmt.Print(said)
}
