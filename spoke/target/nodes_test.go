package target

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestNodesThatAreOut(t *testing.T) {
	var all []node
	require.NoError(t, json.Unmarshal([]byte(`[
		{"metadata":{"name":"well"},"status":{"conditions":[{"type":"Ready","status":"True"}]}},
		{"metadata":{"name":"cordoned"},"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}]}},
		{"metadata":{"name":"broken"},"status":{"conditions":[{"type":"MemoryPressure","status":"True"},{"type":"Ready","status":"Unknown"}]}},
		{"metadata":{"name":"new"}}]`), &all))
	require.Equal(t, &catalogue.Nodes{All: 4, Out: 3}, out(all, "well"))
	require.Equal(t, &catalogue.Nodes{All: 4, Out: 2}, out(all, "broken"), "the target itself is not counted")
}

// What takes a node out of use is judged on how many others are out already; what does not, is not.
func TestNodesAreCountedWhereAnActionTakesOneOut(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	reader, err := New(c.RESTConfig())
	require.NoError(t, err)
	all, err := worldtest.Client(t, c).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	of := catalogue.Target{APIVersion: "v1", Kind: "Node", Name: all.Items[0].Name}
	for action, parameters := range map[string]string{"cordon": `{}`, "drain": `{"force":true,"deleteEmptyDir":true}`} {
		facts, err := reader.Look(t.Context(), action, []byte(parameters), of)
		require.NoError(t, err)
		require.Equal(t, len(all.Items), facts.Nodes.All, action)
	}
	facts, err := reader.Look(t.Context(), "uncordon", nil, of)
	require.NoError(t, err)
	require.Nil(t, facts.Nodes)
}
