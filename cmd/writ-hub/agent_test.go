package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/reasoning"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// In its own cluster the hub needs no kubeconfig for an agent class: it asks for tokens of the class's account, and admission
// writes the class's name, not the hub's, on what is proposed.
func TestAnAgentClassProposesUnderItsOwnName(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Name: "agents", Controllers: true})
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs(), deployhub.Manifests(), deployhub.AgentClass("healer")))
	kubeconfig, err := c.KubeconfigForServiceAccount(t.Context(), "writ-system", "writ-hub", time.Hour)
	require.NoError(t, err)
	hub, err := clusterConfig(kubeconfig)
	require.NoError(t, err)

	propose := func(identity *rest.Config, name string) error {
		door, err := reasoning.NewDoor(identity, "writ-agent-healer")
		require.NoError(t, err)
		proposal := reasoning.Proposal{Name: name, Cluster: "east", Action: "rollback"}
		proposal.Target.APIVersion, proposal.Target.Kind, proposal.Target.Namespace, proposal.Target.Name = "apps/v1", "Deployment", "shop", "checkout"
		return door.Propose(t.Context(), proposal)
	}
	require.Eventually(t, func() bool { // once admission knows the kinds
		err := propose(hub, "own")
		return err != nil && !strings.Contains(err.Error(), "not found")
	}, 30*time.Second, 100*time.Millisecond)
	require.ErrorContains(t, propose(hub, "own"), "forbidden", "the hub proposes nothing of its own")
	stranger, err := identityOf(hub, reasoner{AgentClass: "scaler"})
	require.NoError(t, err)
	require.ErrorContains(t, propose(stranger, "strange"), "token of writ-agent-scaler/agent")

	healer, err := identityOf(hub, reasoner{AgentClass: "healer"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return propose(healer, "d-1") == nil }, 30*time.Second, 100*time.Millisecond, "admission settles")
	admin, err := dynamic.NewForConfig(c.RESTConfig())
	require.NoError(t, err)
	list, err := admin.Resource(v1alpha1.GroupVersion.WithResource("actionrequests")).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1, "nothing else was written")
	spec := list.Items[0].Object["spec"].(map[string]any)
	require.Equal(t, "system:serviceaccount:writ-agent-healer:agent", spec["requester"])
	require.Equal(t, "healer", spec["agentClass"])
}
