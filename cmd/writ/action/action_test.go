package action_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/action"
)

// wanted are the actions that the catalogue is to have at least.
var wanted = strings.Fields(`scale rollout-restart rollback pause-rollout resume-rollout undo-partial-rollout delete-pod evict-pod set-image
	set-resources resize-pod set-env set-probe adjust-hpa adjust-pdb cordon uncordon drain taint-node untaint-node label annotate suspend-cronjob
	resume-cronjob run-cronjob-now retry-job delete-job expand-pvc patch-configmap restore-configmap adjust-quota patch-service-selector
	set-networkpolicy quarantine-pod force-delete-stuck-pod remove-finalizer renew-certificate approve-csr apply-patch collect-diagnostics
	debug-probe notify escalate`)

// The whole catalogue is listed, with everything that is to be known of each.
func TestTheCatalogueIsWhole(t *testing.T) {
	var out bytes.Buffer
	command := action.New(&access.Hub{})
	command.SetArgs([]string{"list", "-o", "json"})
	command.SetOut(&out)
	require.NoError(t, command.ExecuteContext(t.Context()))
	var listed []struct {
		Name, Summary, Tiers, Prediction, Inverse string
		Schema                                    map[string]any
		Rules                                     []any
		OnHub                                     bool
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &listed))
	var names []string
	for _, a := range listed {
		names = append(names, a.Name)
		require.NotContains(t, []string{a.Summary, a.Tiers, a.Prediction, a.Inverse}, "", a.Name)
		require.NotEmpty(t, a.Schema, a.Name)
		require.Equal(t, a.OnHub, len(a.Rules) == 0, "%s has rights exactly where it is done in a cluster", a.Name)
	}
	require.Subset(t, names, wanted)
}
