package catalogue_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

func TestWhatRelaxesAGuard(t *testing.T) {
	for name, tc := range map[string]struct {
		action, parameters, state string
		relaxes                   bool
	}{
		"fewer must stay":           {"adjust-pdb", `{"minAvailable":1}`, `{"bound":{"minAvailable":2}}`, true},
		"more must stay":            {"adjust-pdb", `{"minAvailable":3}`, `{"bound":{"minAvailable":2}}`, false},
		"more may be missing":       {"adjust-pdb", `{"maxUnavailable":2}`, `{"bound":{"maxUnavailable":1}}`, true},
		"fewer may be missing":      {"adjust-pdb", `{"maxUnavailable":0}`, `{"bound":{"maxUnavailable":1}}`, false},
		"what cannot be compared":   {"adjust-pdb", `{"minAvailable":"50%"}`, `{"bound":{"minAvailable":2}}`, true},
		"the other bound":           {"adjust-pdb", `{"maxUnavailable":0}`, `{"bound":{"minAvailable":2}}`, true},
		"a higher quota":            {"adjust-quota", `{"hard":{"pods":"60","cpu":"1"}}`, `{"hard":{"pods":"50","cpu":"1000m"}}`, true},
		"a lower quota":             {"adjust-quota", `{"hard":{"pods":"40"}}`, `{"hard":{"pods":"50"}}`, false},
		"a cordon":                  {"cordon", `{}`, `{"unschedulable":false}`, true},
		"a drain":                   {"drain", `{}`, `{"unschedulable":false,"left":1}`, true},
		"a drain of a cordoned one": {"drain", `{}`, `{"unschedulable":true,"left":1}`, false},
	} {
		action := catalogue.Actions()[tc.action]
		c := catalogue.Case{Kind: action.Kinds[0], Parameters: json.RawMessage(tc.parameters), Facts: catalogue.Facts{State: json.RawMessage(tc.state)}}
		require.Equal(t, tc.relaxes, action.Guard(c) != "", name)
	}
	for _, name := range []string{"uncordon", "scale"} {
		require.Nil(t, catalogue.Actions()[name].Guard, name)
	}
	left := catalogue.Prediction{Want: json.RawMessage(`{"unschedulable":true,"left":0}`)}
	require.True(t, left.StillSeen(catalogue.Facts{State: json.RawMessage(`{"unschedulable":true}`)}), "of what another action sees too")
	require.False(t, left.StillSeen(catalogue.Facts{State: json.RawMessage(`{"unschedulable":false}`)}))
	require.False(t, left.StillSeen(catalogue.Facts{}))
}
