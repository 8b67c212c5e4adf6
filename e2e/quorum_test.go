package e2e

import (
	"context"
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// An action of tier high runs once two approvers have signed its order, one with a key file and one by an ssh-agent. Whatever else
// is said does not count, and nothing is signed for the cluster until then.
func TestTierHighNeedsAQuorumThatSigns(t *testing.T) {
	t.Parallel()
	hardware := trusttest.NewAuthenticator(t, ssh.KeyAlgoSKED25519, "ssh:")
	f := start(t, fleet.Options{Clusters: []string{"east"}, Hardware: map[string]ssh.PublicKey{"ana": hardware.Public}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before := w.create(ctx, "stopped")
	as := map[string]string{}
	for _, name := range append([]string{"eve"}, fleet.Approvers...) {
		path, err := f.Hub.KubeconfigFor(name, []string{"sre"})
		require.NoError(t, err)
		as[name] = path
	}
	r := w.scale(ctx, "stopped", 0)
	key := client.ObjectKeyFromObject(r)
	waits := func(says string) *v1alpha1.ActionRequest {
		t.Helper()
		r, err := f.Until(ctx, key, func(r *v1alpha1.ActionRequest) bool {
			require.False(t, r.Status.Phase.Final(), r.Status.Message)
			return strings.Contains(r.Status.Message, says)
		})
		require.NoError(t, err)
		require.Nil(t, r.Status.Bundle)
		return r
	}
	open := waits("0 of 2 have")
	say := func(who string, signature *v1alpha1.Signature) {
		t.Helper()
		c, err := f.As(who, "sre")
		require.NoError(t, err)
		require.NoError(t, c.Create(ctx, &v1alpha1.Approval{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: "word-"},
			Spec: v1alpha1.ApprovalSpec{Request: r.Name, OrderDigest: open.Status.OrderDigest, Verdict: v1alpha1.Approve, Signature: signature}}))
	}

	f.CLI = []string{"SSH_AUTH_SOCK="}
	for _, bad := range []struct {
		who, says string
		flags     []string
	}{
		{"sam", "pass --key FILE, or start an ssh-agent", nil},
		{"sam", "is not the key that the trust root gives to sam", []string{"--key", f.ApproverKey("kim")}},
		{"sam", "cannot be read as an SSH private key", []string{"--key", f.ApproverKey("sam") + ".pub"}},
		{"ana", "the trust root gives a hardware key to ana, and no file signs for it: ssh-add it", []string{"--key", f.ApproverKey("sam")}},
		{"eve", "the trust root gives eve no approver's key", []string{"--key", f.ApproverKey("sam")}},
	} {
		_, err := f.WritAs(ctx, as[bad.who], append([]string{"approve", r.Name, "--yes"}, bad.flags...)...)
		require.ErrorContains(t, err, bad.says)
	}
	var words v1alpha1.ApprovalList
	require.NoError(t, f.Client.List(ctx, &words))
	require.Empty(t, words.Items, "nothing was written")

	say("sam", nil)
	waits("sam has not signed")
	forged := &v1alpha1.Signature{Sig: base64.StdEncoding.EncodeToString(make([]byte, 64))}
	forged.KeyID = keyIDOf(ctx, t, f, "sam")
	say("sam", forged)
	waits("the signature of sam does not verify")
	say("eve", forged)
	waits("eve signed with a key that the trust root does not give to them")

	out, err := f.WritAs(ctx, as["sam"], "approve", r.Name, "--yes", "--key", f.ApproverKey("sam"))
	require.NoError(t, err)
	require.Contains(t, out, "What is signed")
	require.Contains(t, out, `{"replicas":0}`)
	waits("1 of 2 have")
	_, err = f.WritAs(ctx, as["sam"], "approve", r.Name, "--yes", "--key", f.ApproverKey("sam"))
	require.NoError(t, err)
	waits("sam has signed already")
	w.untouched(ctx, before)

	f.CLI = []string{"SSH_AUTH_SOCK=" + agentWith(t, f.ApproverKey("kim"))}
	out, err = f.WritAs(ctx, as["kim"], "approve", r.Name, "--yes", "--wait")
	require.NoError(t, err, out)
	done, err := f.Until(ctx, key, fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err)
	d, no := bundle.Decode([]byte(done.Status.Bundle.Envelope))
	require.Nil(t, no)
	require.Len(t, d.OrderEnvelope.Signatures, 2)
	var after appsv1.Deployment
	require.NoError(t, w.east.Get(ctx, client.ObjectKeyFromObject(before), &after))
	require.Zero(t, *after.Spec.Replicas)
	out, err = f.Writ(ctx, "audit", "show", r.Name)
	require.NoError(t, err)
	require.Contains(t, out, "approved by sam and kim")

	byHardware(ctx, t, w, as, hardware)

	w.create(ctx, "denied")
	denied := w.scale(ctx, "denied", 0)
	key = client.ObjectKeyFromObject(denied)
	waits("0 of 2 have")
	_, err = f.WritAs(ctx, as["ana"], "deny", denied.Name, "--yes")
	require.ErrorContains(t, err, "--reason is needed")
	_, err = f.WritAs(ctx, as["ana"], "deny", denied.Name, "--yes", "--reason", "the sale is on")
	require.NoError(t, err)
	denied, err = f.Until(ctx, key, fleet.Phase(v1alpha1.PhaseRefused))
	require.NoError(t, err)
	require.Equal(t, string(refusal.Denied), denied.Status.Reason)
	require.Contains(t, denied.Status.Message, "ana: the sale is on")
	clean(ctx, t, f)
}

// byHardware has sam sign with a file and ana with a hardware key, which counts only touched. Without, nothing is written.
func byHardware(ctx context.Context, t *testing.T, w *workloads, as map[string]string, hardware *trusttest.Authenticator) {
	t.Helper()
	f := w.f
	before := w.create(ctx, "touched")
	r := w.scale(ctx, "touched", 0)
	key := client.ObjectKeyFromObject(r)
	_, err := f.Until(ctx, key, func(r *v1alpha1.ActionRequest) bool { return strings.Contains(r.Status.Message, "0 of 2 have") })
	require.NoError(t, err)
	_, err = f.WritAs(ctx, as["sam"], "approve", r.Name, "--yes", "--key", f.ApproverKey("sam"))
	require.NoError(t, err)
	untouched := *hardware
	untouched.Flags = 0
	f.CLI = []string{"SSH_AUTH_SOCK=" + untouched.Serve(t)}
	_, err = f.WritAs(ctx, as["ana"], "approve", r.Name, "--yes")
	require.ErrorContains(t, err, "what was signed does not count")
	var words v1alpha1.ApprovalList
	require.NoError(t, f.Client.List(ctx, &words))
	require.False(t, slices.ContainsFunc(words.Items, func(a v1alpha1.Approval) bool { return a.Spec.Approver == "ana" }), "nothing was written")
	w.untouched(ctx, before)
	f.CLI = []string{"SSH_AUTH_SOCK=" + hardware.Serve(t)}
	out, err := f.WritAs(ctx, as["ana"], "approve", r.Name, "--yes", "--wait")
	require.NoError(t, err, out)
	require.Contains(t, out, "touch your hardware key")
	out, err = f.Writ(ctx, "audit", "show", r.Name)
	require.NoError(t, err)
	require.Contains(t, out, "approved by sam and ana")
}

// keyIDOf is the ID that the trust root gives to an approver's key.
func keyIDOf(ctx context.Context, t *testing.T, f *fleet.Fleet, name string) string {
	t.Helper()
	out, err := f.Writ(ctx, "trust", "show", "--role", "approvers", "-o", "json")
	require.NoError(t, err)
	for line := range strings.Lines(out) {
		if _, id, ok := strings.Cut(line, `"id": "`); ok {
			return strings.TrimRight(strings.TrimSpace(id), `",`) // the first approver is named first
		}
	}
	t.Fatalf("no key of %s in %s", name, out)
	return ""
}

// agentWith is the socket of an ssh-agent that holds one key.
func agentWith(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	private, err := ssh.ParseRawPrivateKey(raw)
	require.NoError(t, err)
	ring := agent.NewKeyring()
	require.NoError(t, ring.Add(agent.AddedKey{PrivateKey: private}))
	return trusttest.ServeAgent(t, ring)
}
