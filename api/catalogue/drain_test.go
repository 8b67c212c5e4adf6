package catalogue_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

const node = `{"metadata":{"uid":"u1","resourceVersion":"9"},"spec":{}}`

// tenantOf is a pod of a ReplicaSet, with more in its metadata and in the rest of it.
func tenantOf(name, metadata, rest string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop","uid":"uid-%s","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","controller":true}]%s}%s}`,
		name, name, metadata, rest)
}

func list(pods ...string) string { return `{"items":[` + strings.Join(pods, ",") + `]}` }

func drained(t *testing.T, parameters, object, pods string) (catalogue.Case, catalogue.Change, error) {
	t.Helper()
	c, err := judged(t, "drain", catalogue.Node, parameters, object, pods)
	if err != nil {
		return c, catalogue.Change{}, err
	}
	change, err := catalogue.Actions()["drain"].Change(c, catalogue.Stamp{OrderID: "o1"}, [][]byte{[]byte(object), []byte(pods)})
	return c, change, err
}

func TestADrainEvictsWhatHasToGoAndNothingElse(t *testing.T) {
	pods := list(
		tenantOf("web-1", "", `,"spec":{"terminationGracePeriodSeconds":120}`),
		tenantOf("web-2", `,"deletionTimestamp":"2026-11-25T00:00:00Z"`, ""),
		tenantOf("done", "", `,"status":{"phase":"Succeeded"}`),
		tenantOf("static", `,"annotations":{"kubernetes.io/config.mirror":"x"}`, ""),
		strings.Replace(tenantOf("agent", "", ""), "ReplicaSet", "DaemonSet", 1),
		strings.Replace(tenantOf("spoke", "", ""), `"namespace":"shop"`, `"namespace":"writ-system"`, 1),
		tenantOf("shown", `,"labels":{"writ.dev/protected":"false"}`, ""))
	c, change, err := drained(t, `{"graceSeconds":40}`, node, pods)
	require.NoError(t, err)
	require.JSONEq(t, `{"unschedulable":false,"left":3,"stay":4,"graceSeconds":40}`, string(c.Facts.State))
	require.Equal(t, catalogue.Node, change.Kind)
	require.JSONEq(t, `{"metadata":{"uid":"u1","resourceVersion":"9","annotations":{"writ.dev/order":"o1"}},"spec":{"unschedulable":true}}`, string(change.Body))
	require.Equal(t, "cordon, evict 2 pods: replicaset/shop/web", change.Says)
	require.Equal(t, 300*time.Second, change.Within)
	require.Len(t, change.Then, 2)
	first := change.Then[0]
	require.Equal(t, []string{"shop", "web-1", "eviction"}, []string{first.Namespace, first.Name, first.Subresource})
	require.Equal(t, catalogue.Create, first.Verb)
	require.JSONEq(t, `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-1","namespace":"shop"},
		"deleteOptions":{"gracePeriodSeconds":40,"preconditions":{"uid":"uid-web-1"}}}`, string(first.Body))
	require.Equal(t, "shown", change.Then[1].Name)

	action := catalogue.Actions()["drain"]
	tier, _ := action.TierOf(c)
	require.Equal(t, catalogue.High, tier)
	require.Equal(t, "uncordon", action.Inverse(c).Action)
	prediction := action.Predict(c)
	require.EqualValues(t, 100, prediction.WithinSeconds)
	held, _ := prediction.Holds(catalogue.Facts{State: json.RawMessage(`{"unschedulable":true,"left":0,"stay":4}`)})
	require.True(t, held)
	held, _ = prediction.Holds(catalogue.Facts{State: json.RawMessage(`{"unschedulable":true,"left":1,"stay":4}`)})
	require.False(t, held)
}

func TestADrainOfACordonedNode(t *testing.T) {
	cordoned := strings.Replace(node, `"spec":{}`, `"spec":{"unschedulable":true}`, 1)
	c, change, err := drained(t, `{"timeoutSeconds":10}`, cordoned, list(tenantOf("web-1", "", `,"spec":{"terminationGracePeriodSeconds":99999}`)))
	require.NoError(t, err)
	require.Nil(t, catalogue.Actions()["drain"].Inverse(c), "it was cordoned before: nothing of this order's is to be undone")
	require.Equal(t, 10*time.Second, change.Within)
	require.EqualValues(t, 3660, catalogue.Actions()["drain"].Predict(c).WithinSeconds, "however long a pod wants to take")
	_, _, err = drained(t, `{}`, cordoned, list())
	require.ErrorIs(t, err, catalogue.ErrNothingToDo)
	_, change, err = drained(t, `{}`, node, list())
	require.NoError(t, err)
	require.Equal(t, "cordon, evict nothing", change.Says)
}

func TestWhatADrainDoesNotEndUnasked(t *testing.T) {
	bare := `{"metadata":{"name":"bare","namespace":"shop","uid":"b"}}`
	keeps := tenantOf("keeps", "", `,"spec":{"volumes":[{"emptyDir":{}}]}`)
	for name, tc := range map[string]struct{ parameters, pods, says string }{
		"no controller":      {`{"deleteEmptyDir":true}`, bare, "pod shop/bare has no controller"},
		"a cache":            {`{"force":true}`, keeps, "deleteEmptyDir"},
		"a protected one":    {`{"force":true,"deleteEmptyDir":true}`, tenantOf("p", `,"labels":{"writ.dev/protected":""}`, ""), "is protected"},
		"not even the first": {`{}`, tenantOf("web-1", "", "") + "," + bare + "," + tenantOf("web-2", "", ""), "pod shop/bare"},
	} {
		_, change, err := drained(t, tc.parameters, node, list(tc.pods))
		require.ErrorIs(t, err, catalogue.ErrUnfit, name)
		require.ErrorContains(t, err, tc.says, name)
		require.Empty(t, change.Then, name)
	}
	_, change, err := drained(t, `{"force":true,"deleteEmptyDir":true}`, node, list(bare, keeps))
	require.NoError(t, err)
	require.Equal(t, "cordon, evict 2 pods: pod/shop/bare, replicaset/shop/web", change.Says)

	// What came onto the node since it was judged is seen before anything is done.
	c, err := judged(t, "drain", catalogue.Node, `{}`, node, list())
	require.NoError(t, err)
	for says, read := range map[string][]string{
		"has no controller": {node, list(bare)},
		"more than 0 pods":  {node, `{"metadata":{"continue":"x"},"items":[]}`},
		"made again":        {strings.Replace(node, "u1", "u2", 1), list()},
	} {
		_, err = catalogue.Actions()["drain"].Change(c, catalogue.Stamp{OrderID: "o1"}, [][]byte{[]byte(read[0]), []byte(read[1])})
		require.ErrorIs(t, err, catalogue.ErrTargetChanged)
		require.ErrorContains(t, err, says)
	}
	for _, p := range []string{`{"timeoutSeconds":601}`, `{"timeoutSeconds":9}`, `{"graceSeconds":0}`, `{"graceSeconds":3601}`, `{"force":1}`, `{"all":true}`} {
		require.Error(t, catalogue.Actions()["drain"].Validate(json.RawMessage(p)), p)
	}
}
