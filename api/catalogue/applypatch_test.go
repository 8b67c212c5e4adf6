package catalogue_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

const patched = `{"metadata":{"uid":"u1","resourceVersion":"9","generation":7,"labels":{"team":"shop"},"annotations":{"a":"1"}},
	"spec":{"replicas":2,"minReadySeconds":5,"template":{"spec":{"priorityClassName":"low","containers":[
	{"name":"main","image":"a:1","args":["x"],"env":[{"name":"PASSWORD","value":"hunter2"}]},{"name":"side","image":"b:1"}]}}},
	"status":{"observedGeneration":7,"readyReplicas":2,"conditions":[{"type":"Available","status":"False"}]}}`

func TestAPatchCarriesItsPreconditionsAndItsOrder(t *testing.T) {
	c, err := judged(t, "apply-patch", catalogue.Deployment, `{"patch":{"metadata":{"labels":{"team":"b"}},"spec":{"minReadySeconds":9}},"expect":{"condition":"Available"}}`, patched)
	require.NoError(t, err)
	got, err := change(t, "apply-patch", c, patched)
	require.NoError(t, err)
	require.Equal(t, catalogue.ApplyPatch, got.PatchType)
	require.Empty(t, got.InPlaceOf)
	require.JSONEq(t, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"checkout","uid":"u1","resourceVersion":"9","labels":{"team":"b"},
		"annotations":{"writ.dev/order":"o1"}},"spec":{"minReadySeconds":9}}`, string(got.Body))
	require.Equal(t, `apply {"metadata":{"labels":{"team":"b"}},"spec":{"minReadySeconds":9}}`, got.Says)
	require.Equal(t, `{"patch":{"metadata":{"labels":{"team":"b"}},"spec":{"minReadySeconds":9}},"expect":{"condition":"Available"}}`, string(c.Parameters), "unchanged")
}

// What comes back is what was there, and no more of it than the patch took the place of.
func TestTheFieldsOfAPatchComeBack(t *testing.T) {
	action := catalogue.Actions()["apply-patch"]
	for name, tc := range map[string]struct{ parameters, undo string }{
		"a field that was there": {`{"patch":{"spec":{"minReadySeconds":9}},"expect":{"field":"status.readyReplicas","value":2}}`,
			`{"patch":{"spec":{"minReadySeconds":5}},"expect":{"field":"status.readyReplicas","value":2},"inPlaceOf":"o1"}`},
		"one that was not": {`{"patch":{"spec":{"paused":true}},"expect":{"field":"spec.paused","value":true}}`,
			`{"patch":{"spec":{}},"expect":{"field":"spec.paused"},"inPlaceOf":"o1"}`},
		"of a container by its name": {`{"patch":{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"b:2"}]}}}},"expect":{"condition":"Available"}}`,
			`{"patch":{"spec":{"template":{"spec":{"containers":[{"image":"b:1","name":"side"}]}}}},"expect":{"condition":"Available"},"inPlaceOf":"o1"}`},
		"a container that was not": {`{"patch":{"spec":{"template":{"spec":{"containers":[{"name":"new","image":"b:2"}]}}}},"expect":{"condition":"Available"}}`,
			`{"patch":{"spec":{"template":{"spec":{"containers":[]}}}},"expect":{"condition":"Available"},"inPlaceOf":"o1"}`},
	} {
		c, err := judged(t, "apply-patch", catalogue.Deployment, tc.parameters, patched)
		require.NoError(t, err, name)
		undo := action.Inverse(c)
		require.Equal(t, tc.undo, string(undo.Parameters), name)
		back := c
		back.Parameters = json.RawMessage(tc.undo)
		require.Nil(t, action.Inverse(back), "an undo is not undone")
		c.OrderID = ""
		require.Nil(t, action.Inverse(c), "the order is not known")
	}
	c, err := judged(t, "apply-patch", catalogue.Deployment, `{"patch":{"spec":{}},"expect":{"field":"spec.paused"},"inPlaceOf":"order-1"}`, patched)
	require.NoError(t, err)
	got, err := change(t, "apply-patch", c, patched)
	require.NoError(t, err, "an undo that only takes away is a change")
	require.Equal(t, "order-1", got.InPlaceOf)
}

func TestWhatAPatchPredicts(t *testing.T) {
	action := catalogue.Actions()["apply-patch"]
	holds := func(parameters, after string) bool {
		c, err := judged(t, "apply-patch", catalogue.Deployment, parameters, patched)
		require.NoError(t, err)
		now := c.Facts
		now.Generation = 8
		c.Facts = now
		now.State, err = action.See(c, []byte(after), nil)
		require.NoError(t, err)
		c.Facts.Generation = 7
		held, _ := action.Predict(c).Holds(now)
		return held
	}
	const condition = `{"patch":{"spec":{"minReadySeconds":9}},"expect":{"condition":"Available"}}`
	const field = `{"patch":{"spec":{"minReadySeconds":9}},"expect":{"field":"status.readyReplicas","value":2}}`
	require.True(t, holds(condition, `{"metadata":{"generation":8},"status":{"observedGeneration":8,"conditions":[{"type":"Available","status":"True"}]}}`))
	require.False(t, holds(condition, `{"metadata":{"generation":8},"status":{"observedGeneration":7,"conditions":[{"type":"Available","status":"True"}]}}`), "of the generation before")
	require.False(t, holds(condition, `{"metadata":{"generation":8},"status":{"observedGeneration":8}}`))
	require.True(t, holds(field, `{"status":{"readyReplicas":2}}`))
	require.False(t, holds(field, `{"status":{"readyReplicas":1}}`))
}

func TestWhatNoPatchMayDo(t *testing.T) {
	for name, parameters := range map[string]string{
		"nothing":                          `{"patch":{},"expect":{"condition":"Ready"}}`,
		"no expectation":                   `{"patch":{"spec":{"paused":true}},"expect":{}}`,
		"two expectations":                 `{"patch":{"spec":{"paused":true}},"expect":{"condition":"Ready","field":"spec.paused","value":true}}`,
		"no single value":                  `{"patch":{"spec":{"paused":true}},"expect":{"field":"spec.template","value":true}}`,
		"an environment":                   `{"patch":{"spec":{"template":{"spec":{"containers":[{"name":"side","env":[]}]}}}},"expect":{"condition":"Available"}}`,
		"what would show an environment":   `{"patch":{"spec":{"template":null}},"expect":{"condition":"Available"}}`,
		"containers that would show one":   `{"patch":{"spec":{"template":{"spec":{"containers":[]}}}},"expect":{"condition":"Available"}}`,
		"a Secret":                         `{"patch":{"spec":{"template":{"spec":{"volumes":[{"name":"v","secret":{"secretName":"s"}}]}}}},"expect":{"condition":"Available"}}`,
		"a projected Secret":               `{"patch":{"spec":{"template":{"spec":{"volumes":[{"name":"v","projected":{"sources":[{"secret":{"name":"s"}}]}}]}}}},"expect":{"condition":"Available"}}`,
		"another account":                  `{"patch":{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}},"expect":{"condition":"Available"}}`,
		"a reserved label":                 `{"patch":{"metadata":{"labels":{"writ.dev/protected":"false"}}},"expect":{"condition":"Available"}}`,
		"an annotation of Kubernetes' own": `{"patch":{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"1"}}},"expect":{"condition":"Available"}}`,
	} {
		_, err := judged(t, "apply-patch", catalogue.Deployment, parameters, patched)
		require.ErrorIs(t, err, catalogue.ErrUnfit, name)
	}
	for name, parameters := range map[string]string{
		"an owner":            `{"patch":{"metadata":{"ownerReferences":[]}},"expect":{"condition":"Ready"}}`,
		"another object":      `{"patch":{"metadata":{"name":"other"}},"expect":{"condition":"Ready"}}`,
		"a status":            `{"patch":{"status":{}},"expect":{"condition":"Ready"}}`,
		"in no order's stead": `{"patch":{"spec":{}},"expect":{"condition":"Ready"},"inPlaceOf":"kubectl"}`,
		"a path into a list":  `{"patch":{"spec":{}},"expect":{"field":"spec.containers[0]","value":1}}`,
	} {
		require.Error(t, catalogue.Actions()["apply-patch"].Validate(json.RawMessage(parameters)), name)
	}
	c, err := judged(t, "apply-patch", catalogue.Deployment, `{"patch":{"spec":{"minReadySeconds":5}},"expect":{"condition":"Available"}}`, patched)
	require.NoError(t, err)
	_, err = change(t, "apply-patch", c, patched)
	require.ErrorIs(t, err, catalogue.ErrNothingToDo)
}
