package e2e

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// silence has the API server of a cluster wait, for up to half a minute, before it lets anybody scale: for somebody who takes the
// connection and says nothing.
func silence(ctx context.Context, t *testing.T, c client.Client) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	url := "https://" + listener.Addr().String() + "/"
	hook := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "silent"}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: "silent.example.com", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, SideEffects: new(admissionv1.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(30)), FailurePolicy: new(admissionv1.Fail),
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Update},
			Rule: admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments/scale"}}}}}}}
	require.NoError(t, c.Create(ctx, hook))
}

// A credential is seen while it is live, with who asked for it; and it ends when somebody says so, with the action that it was for.
func TestCredentialsAreSeenAndEnded(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}, Bare: true})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before := fleet.Deployment("checkout", 4)
	require.NoError(t, w.east.Create(ctx, before))
	out, err := f.Writ(ctx, "credentials", "list")
	require.NoError(t, err)
	require.Contains(t, out, "no credential is live")
	out, err = f.Writ(ctx, "credentials", "revoke", "--cluster", "nowhere", "--reason", "x")
	require.ErrorContains(t, err, `there is no cluster "nowhere"`)
	require.Empty(t, freezes(ctx, t, f), out)

	silence(ctx, t, w.east)
	var shown struct {
		Credentials []struct{ Cluster, Action, Target, Request, AgentClass, Issuer string }
	}
	r := w.scale(ctx, "checkout", 5)
	require.Eventually(t, func() bool { // until the API server calls the webhook
		out, err = f.Writ(ctx, "credentials", "list", "-o", "json")
		require.NoError(t, err)
		shown.Credentials = nil
		require.NoError(t, json.Unmarshal([]byte(out), &shown), out)
		return len(shown.Credentials) == 1
	}, 30*time.Second, 100*time.Millisecond)
	live := shown.Credentials[0]
	require.Equal(t, []string{"east", "scale", "deployment/shop/checkout", "default/" + r.Name, ""},
		[]string{live.Cluster, live.Action, live.Target, live.Request, live.AgentClass})

	out, err = f.Writ(ctx, "credentials", "revoke", "--agent-class", "healer", "--reason", "another's")
	require.NoError(t, err, out)
	require.Contains(t, out, "agent class healer: no credential is live")
	out, err = f.Writ(ctx, "credentials", "revoke", "--all", "--reason", "a key was stolen")
	require.NoError(t, err, out)
	require.Contains(t, out, "ended  east: scale of deployment/shop/checkout (default/"+r.Name+")")
	require.Contains(t, out, "everything: no credential is live")
	stopped := w.ended(ctx, r)
	require.Equal(t, string(refusal.Frozen), stopped.Status.Reason, stopped.Status.Message)
	require.NotEmpty(t, stopped.Status.Receipt, "the spoke itself says so")
	require.Contains(t, stopped.Status.Message, "a key was stolen")
	w.untouched(ctx, before)
	w.refused(ctx, w.scale(ctx, "checkout", 6), refusal.Frozen, before)

	f.KillSpoke("west") // what cannot be heard is left, and says so
	require.Eventually(t, func() bool {
		out, err = f.Writ(ctx, "credentials", "revoke", "--cluster", "west", "--reason", "gone", "--wait", "1s")
		return err != nil
	}, 30*time.Second, time.Second)
	require.Contains(t, out, "LEFT   west: its spoke is not connected")
	require.ErrorContains(t, err, "not all credentials are known to have ended")
	clean(ctx, t, f)
}

func freezes(ctx context.Context, t *testing.T, f *fleet.Fleet) []v1alpha1.Freeze {
	t.Helper()
	var list v1alpha1.FreezeList
	require.NoError(t, f.Client.List(ctx, &list))
	return list.Items
}
