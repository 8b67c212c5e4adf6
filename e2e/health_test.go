package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

func get(ctx context.Context, t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// Hub and spoke say that they are alive and ready, count one action, and tell nobody a secret; a spoke without its hub stays
// alive.
func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	hub, spoke := f.Health("writ-hub"), f.Health("writ-spoke-east")
	for url, checks := range map[string][]string{
		hub + "/healthz?verbose":   {"store", "gateway"},
		hub + "/readyz?verbose":    {"store", "caches", "listeners"},
		spoke + "/healthz?verbose": {"journal"},
		spoke + "/readyz?verbose":  {"enrolled", "journal", "hub"},
	} {
		var body string
		require.Eventually(t, func() bool {
			var code int
			code, body = get(ctx, t, url)
			return code == http.StatusOK
		}, 20*time.Second, 50*time.Millisecond, url)
		for _, check := range checks {
			require.Contains(t, body, "[+]"+check+" ok\n", url)
		}
	}

	east, err := f.Workloads("east")
	require.NoError(t, err)
	require.NoError(t, east.Create(ctx, fleet.Deployment("checkout", 3)))
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	r := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "up"}, Spec: v1alpha1.ActionRequestSpec{
		Cluster: "east", Action: "scale", Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"replicas":4}`)},
		Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: "checkout"}}}
	hostile := r.DeepCopy()
	hostile.Name, hostile.Spec.Action = "hostile", "no-such-action"
	require.NoError(t, f.Client.Create(ctx, r))
	require.NoError(t, f.Client.Create(ctx, hostile))
	_, err = f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err)
	_, err = f.Until(ctx, client.ObjectKeyFromObject(hostile), fleet.Phase(v1alpha1.PhaseRefused))
	require.NoError(t, err)
	_, metrics := get(ctx, t, hub+"/metrics")
	for _, line := range []string{
		`writ_hub_requests_total{action="scale",phase="Succeeded",reason=""} 1`, `writ_hub_cluster_connected{cluster="east"} 1`,
		`writ_hub_requests_total{action="other",phase="Refused",reason="ActionUnknown"} 1`,
		`writ_hub_queue_length{cluster="east"} 0`, `writ_hub_spokes_connected 1`, `writ_hub_requests_open 0`, `writ_hub_audit_entries `,
		`writ_hub_expiry_timestamp_seconds{of="svid"} `, `writ_hub_step_duration_seconds_count{result="passed",step="sign"} 1`,
		`writ_build_info{capability="`, `workqueue_`, `go_goroutines`,
	} {
		require.Contains(t, metrics, "\n"+line)
	}
	require.NotContains(t, metrics, "checkout", "no object is a label")
	require.NotContains(t, metrics, "no-such-action", "nobody adds series")
	_, metrics = get(ctx, t, spoke+"/metrics")
	for _, line := range []string{
		`writ_spoke_actions_total{action="scale",reason="",result="applied"} 1`, `writ_spoke_step_duration_seconds_count{result="passed",step="credential"} 1`,
		`writ_spoke_journal_undelivered{kind="receipt"} `, `writ_spoke_journal_sequence 1`, `writ_spoke_hub_heard_timestamp_seconds 1.`,
		`writ_spoke_svid_expiry_timestamp_seconds 1.`, `process_resident_memory_bytes `,
	} {
		require.Contains(t, metrics, "\n"+line)
	}
	require.NotContains(t, metrics, "checkout", "no object is a label")
	require.Less(t, strings.Count(metrics, "\n"), 600)

	f.KillHub()
	code, body := get(ctx, t, spoke+"/healthz")
	require.Equal(t, http.StatusOK, code, body)
}
