package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// Agents take a quarter of a cluster's nodes out of use at once and no more, with those that are out already and those that are about to
// be; a person may go on.
func TestAStormOfAgentsIsStopped(t *testing.T) {
	h := newHub(t)
	h.allow(v1alpha1.ActionPolicy{Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"cordon"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}})
	nodes := func(all, out int) {
		h.see(`{"unschedulable":false}`)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.facts.Nodes = &catalogue.Nodes{All: all, Out: out}
	}
	ask := func(id, class string) gateway.Request {
		r := request(id, "cordon", `{}`)
		r.AgentClass, r.Target = class, catalogue.Target{APIVersion: "v1", Kind: "Node", Name: "n-" + id}
		h.submit(r)
		return r
	}
	nodes(8, 1)
	ask("a", "healer")
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	ask("b", "healer")
	no := h.until("b", v1alpha1.PhaseRefused).Refusal
	require.Equal(t, refusal.BlastRadius, no.Reason)
	require.Contains(t, no.Detail, "1 others are out of use and 1 have an action under way: agents may have 2 out at once")
	nodes(12, 1)
	ask("c", "healer")
	h.until("c", v1alpha1.PhaseAwaitingApproval)
	nodes(12, 3)
	ask("d", "healer")
	require.Equal(t, refusal.BlastRadius, h.until("d", v1alpha1.PhaseRefused).Refusal.Reason)
	ask("e", "")
	h.until("e", v1alpha1.PhaseAwaitingApproval)
	require.Zero(t, h.signed())

	nodes(12, 1)
	h.gw.Limits.NodesOutPercent = 10
	ask("f", "healer")
	require.Contains(t, h.until("f", v1alpha1.PhaseRefused).Refusal.Detail, "agents may have 1 out at once")

	small := newHub(t)
	small.allow(v1alpha1.ActionPolicy{Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"cordon"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}})
	h = small
	nodes(2, 0)
	ask("a", "healer")
	h.until("a", v1alpha1.PhaseAwaitingApproval)
}
