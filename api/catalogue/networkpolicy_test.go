package catalogue_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

const traffic = `{"metadata":{"uid":"u1","resourceVersion":"9"},"spec":{"podSelector":{"matchLabels":{"app":"a"}},"policyTypes":["Ingress"],"ingress":[{"from":[{"podSelector":{}}]}]}}`

// after is the object that a JSON patch of "add" operations under metadata.annotations and spec makes.
func after(t *testing.T, object string, c catalogue.Change) string {
	t.Helper()
	var live map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(object), &live))
	var operations []struct {
		Op, Path string
		Value    any
	}
	require.NoError(t, json.Unmarshal(c.Body, &operations))
	for _, o := range operations {
		path := strings.Split(o.Path[1:], "/")
		switch {
		case o.Op != "add":
		case len(path) == 2:
			live[path[0]][path[1]] = o.Value
		default:
			live[path[0]][path[1]].(map[string]any)[strings.ReplaceAll(path[2], "~1", "/")] = o.Value
		}
	}
	raw, err := json.Marshal(live)
	require.NoError(t, err)
	return string(raw)
}

func TestTheRulesOfANetworkPolicyComeBack(t *testing.T) {
	action := catalogue.Actions()["set-networkpolicy"]
	c, err := judged(t, "set-networkpolicy", catalogue.NetworkPolicy, `{"template":"deny-all"}`, traffic)
	require.NoError(t, err)
	first, err := change(t, "set-networkpolicy", c, traffic)
	require.NoError(t, err)
	closed := after(t, traffic, first)
	require.Contains(t, closed, `"podSelector":{"matchLabels":{"app":"a"}}`)
	seen, err := judged(t, "set-networkpolicy", catalogue.NetworkPolicy, `{"template":"deny-all"}`, closed)
	require.NoError(t, err)
	held, says := action.Predict(c).Holds(seen.Facts)
	require.True(t, held, says)
	_, err = change(t, "set-networkpolicy", seen, closed)
	require.ErrorIs(t, err, catalogue.ErrNothingToDo)

	undo := action.Inverse(c)
	back, err := judged(t, undo.Action, catalogue.NetworkPolicy, string(undo.Parameters), closed)
	require.NoError(t, err)
	second, err := change(t, undo.Action, back, closed)
	require.NoError(t, err)
	open := after(t, closed, second)
	require.Contains(t, open, `"ingress":[{"from":[{"podSelector":{}}]}]`)
	seen, err = judged(t, undo.Action, catalogue.NetworkPolicy, string(undo.Parameters), open)
	require.NoError(t, err)
	held, says = action.Predict(back).Holds(seen.Facts)
	require.True(t, held, says)
	_, err = change(t, undo.Action, seen, open)
	require.ErrorIs(t, err, catalogue.ErrNothingToDo, "an undo of what is undone would do it again")

	// Once something else was set, the undo of the first change is not the undo of the second.
	c, err = judged(t, "set-networkpolicy", catalogue.NetworkPolicy, `{"template":"dns-only"}`, closed)
	require.NoError(t, err)
	third, err := change(t, "set-networkpolicy", c, closed)
	require.NoError(t, err)
	_, err = judged(t, undo.Action, catalogue.NetworkPolicy, string(undo.Parameters), after(t, closed, third))
	require.ErrorIs(t, err, catalogue.ErrUnfit)
	_, err = judged(t, "set-networkpolicy", catalogue.NetworkPolicy, `{"template":"former"}`, traffic)
	require.ErrorIs(t, err, catalogue.ErrUnfit, "nothing was kept")
	_, err = change(t, "set-networkpolicy", back, strings.Replace(closed, `"Egress"`, `"Ingress"`, 1))
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
}

func TestOnlyWhatAnOrderMadeIsDeleted(t *testing.T) {
	c := caseOf(catalogue.NetworkPolicy, facts(0), `{}`)
	see := func(name, object string) error {
		c.Target.Name = name
		_, err := catalogue.Actions()["delete-networkpolicy"].See(c, []byte(object), nil)
		return err
	}
	marked := strings.Replace(traffic, `"uid"`, `"annotations":{"writ.dev/order":"o1"},"uid"`, 1)
	require.NoError(t, see("web-writ-0123456789", marked))
	require.ErrorIs(t, see("web", marked), catalogue.ErrUnfit)
	require.ErrorIs(t, see("web-writ-0123456789", traffic), catalogue.ErrUnfit)
}

func TestANetworkPolicyIsMadeOfATemplateAlone(t *testing.T) {
	for action, parameters := range map[string][]string{
		"set-networkpolicy": {`{}`, `{"template":"open"}`, `{"template":"former","digest":"x"}`, `{"template":"deny-all","rules":{}}`},
		"add-networkpolicy": {`{}`, `{"template":"former"}`, `{"template":"open"}`},
	} {
		for _, p := range parameters {
			require.Error(t, catalogue.Actions()[action].Validate(json.RawMessage(p)), "%s %s", action, p)
		}
	}
	_, err := judged(t, "add-networkpolicy", catalogue.Deployment, `{"template":"deny-all"}`,
		`{"spec":{"selector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"Exists"}]}}}`)
	require.ErrorIs(t, err, catalogue.ErrUnfit)
}
