package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// Rehearse implements gateway.Rehearser: the spoke judges with the kernel, and answers as the test has it.
func (h *hub) Rehearse(ctx context.Context, cluster string, envelope []byte) (sent, able bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away || h.old {
		return false, !h.old
	}
	h.asked = append(h.asked, envelope)
	authentic, no := trust.AuthenticateRehearsal(ctx, envelope, h.f.Root, h.f.Audience)
	var r trust.Rehearsable
	if no == nil {
		r, no = trust.JudgeRehearsal(authentic, h.now, trust.LoweredTo(h.lowered))
	}
	if no != nil {
		h.t.Errorf("the spoke's kernel refuses what the gateway signed: %s", no)
		return true, true
	}
	shown := diff.Diff{Object: r.Rehearsal().Target.String(), Changes: []diff.Field{{Path: "spec.replicas", Before: "4", After: "40"}}}
	raw := h.rehearse(&bundle.Rehearsed{Cluster: cluster, RehearsalID: r.Rehearsal().ID, RehearsalDigest: r.Digest(), RequestID: r.Rehearsal().RequestID,
		Place: bundle.InProcess, Diff: &shown, Digest: shown.Digest(), Change: "replicas 4 → 40", StartedAt: h.now, FinishedAt: h.now})
	if raw != nil {
		gw := h.gw
		go func() { _ = gw.Rehearsed(context.Background(), cluster, r.Rehearsal().ID, raw) }()
	}
	return true, true
}

// vouch signs what the spoke says of a rehearsal.
func (h *hub) vouch(word *bundle.Rehearsed) []byte {
	raw, err := bundle.Seal(context.Background(), bundle.RehearsedType, word, h.receipts)
	require.NoError(h.t, err)
	return raw
}

// A medium action is rehearsed before anybody is asked, and the order that is approved and signed carries the digest of what was shown.
func TestWhatWasRehearsedIsWhatIsOrdered(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "scale", `{"replicas":40}`))
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Equal(t, "spec.replicas", r.Rehearsed.Diff.Changes[0].Path)
	require.Equal(t, r.Rehearsed.Diff.Digest(), r.Order.RehearsalDigest)
	require.NotEmpty(t, h.asked)
	h.word("a", "bob", true)
	r = h.until("a", v1alpha1.PhaseDispatched)
	d, no := bundle.Decode(r.Bundle.Envelope)
	require.Nil(t, no)
	require.Equal(t, r.Rehearsed.Digest, d.Order.RehearsalDigest)
	_, no = bundle.Decode(h.asked[0])
	require.Equal(t, refusal.PayloadTypeUnknown, no.Reason, "a rehearsal is no bundle")
}

func TestALowActionIsNotRehearsed(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "scale", `{"replicas":5}`))
	r := h.until("a", v1alpha1.PhaseDispatched)
	require.Empty(t, h.asked)
	require.Empty(t, r.Order.RehearsalDigest)
}

// What the spoke meets in the rehearsal refuses the request, before anybody was asked and with nothing signed to be executed.
func TestARehearsalThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		said, reason refusal.Reason
	}{
		"dry run":        {refusal.DryRunRefused, refusal.DryRunRefused},
		"nothing to do":  {refusal.NothingToDo, refusal.NothingToDo},
		"local policy":   {refusal.LocalPolicyDenied, refusal.LocalPolicyDenied},
		"its own reason": {"Whatever", refusal.RehearsalRefused},
		"a hub's reason": {refusal.ApprovalExpired, refusal.RehearsalRefused},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.rehearse = func(word *bundle.Rehearsed) []byte {
				word.Refusal, word.Diff, word.Digest = refusal.New("dryRun", tc.said, "no"), nil, ""
				return h.vouch(word)
			}
			h.submit(request("a", "rollback", ``))
			r := h.until("a", v1alpha1.PhaseRefused)
			require.Equal(t, tc.reason, r.Refusal.Reason)
			require.Nil(t, r.Order)
			require.Zero(t, h.signed())
			require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("a"))
		})
	}
}

// An answer that is not the cluster's own, or not to what was asked last, or that contradicts itself, is not believed.
func TestForgedRehearsals(t *testing.T) {
	for name, spoil := range map[string]func(h *hub, word *bundle.Rehearsed) []byte{
		"signed by somebody else": func(h *hub, word *bundle.Rehearsed) []byte {
			raw, err := bundle.Seal(context.Background(), bundle.RehearsedType, word, h.f.Gateway)
			require.NoError(h.t, err)
			return raw
		},
		"of another rehearsal": func(h *hub, word *bundle.Rehearsed) []byte {
			word.RehearsalDigest = bundle.Digest([]byte("before"))
			return h.vouch(word)
		},
		"of another cluster": func(h *hub, word *bundle.Rehearsed) []byte { word.Cluster = "west"; return h.vouch(word) },
		"another digest":     func(h *hub, word *bundle.Rehearsed) []byte { word.Digest = bundle.Digest(nil); return h.vouch(word) },
		"no diff":            func(h *hub, word *bundle.Rehearsed) []byte { word.Diff, word.Digest = nil, ""; return h.vouch(word) },
		"moves a cursor": func(h *hub, word *bundle.Rehearsed) []byte {
			word.Diff.Changes[0].After = "\x1b[2J"
			word.Digest = word.Diff.Digest()
			return h.vouch(word)
		},
		"too large": func(h *hub, word *bundle.Rehearsed) []byte {
			word.Change = strings.Repeat("x", 200<<10)
			return h.vouch(word)
		},
		"a receipt": func(h *hub, word *bundle.Rehearsed) []byte {
			raw, err := bundle.Seal(context.Background(), bundle.ReceiptType, word, h.receipts)
			require.NoError(h.t, err)
			return raw
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			answered := make(chan struct{}, 1)
			h.rehearse = func(word *bundle.Rehearsed) []byte {
				raw, gw, id := spoil(h, word), h.gw, word.RehearsalID
				go func() { _ = gw.Rehearsed(context.Background(), "east", id, raw); answered <- struct{}{} }()
				return nil
			}
			h.submit(request("a", "rollback", ``))
			<-answered
			r := h.until("a", v1alpha1.PhasePending)
			require.Nil(t, r.Rehearsed)
			require.Never(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.last["a"].Order != nil }, 100*time.Millisecond, 10*time.Millisecond)
			require.Zero(t, h.signed())
		})
	}
}

// A spoke that does not answer is asked again; once the rehearsal has ended, with another one, and the answer to the one before
// counts no more.
func TestARehearsalIsAskedForAgain(t *testing.T) {
	h := newHub(t)
	var words []*bundle.Rehearsed
	h.rehearse = func(word *bundle.Rehearsed) []byte { words = append(words, word); return nil }
	h.submit(request("a", "rollback", ``))
	asked := func(n int, another bool) *bundle.Rehearsed {
		var last *bundle.Rehearsed
		require.Eventually(t, func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			if len(words) < n {
				return false
			}
			last = words[len(words)-1]
			return (last.RehearsalDigest != words[0].RehearsalDigest) == another
		}, 5*time.Second, time.Millisecond)
		return last
	}
	first := asked(1, false)
	h.restart()
	asked(2, false) // the same, from the store
	h.pass(bundle.MaxRehearsalLife + time.Second)
	second := asked(3, true)
	h.repeat(func() error { return h.gw.Rehearsed(t.Context(), "east", "", h.vouch(first)) })
	require.Nil(t, h.until("a", v1alpha1.PhasePending).Rehearsed)
	h.repeat(func() error { return h.gw.Rehearsed(t.Context(), "east", "", h.vouch(second)) })
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.repeat(func() error { return h.gw.Rehearsed(t.Context(), "east", "", h.vouch(second)) })
	require.Equal(t, r.OrderDigest, h.until("a", v1alpha1.PhaseAwaitingApproval).OrderDigest, "once is enough")
}

// A spoke of an older release is not asked: medium is approved unseen, and says so; high is refused.
func TestASpokeThatCannotRehearse(t *testing.T) {
	h := newHub(t)
	h.old = true
	h.submit(request("a", "rollback", ``))
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Empty(t, r.Order.RehearsalDigest)
	require.Contains(t, stepOf(r, "rehearse").Detail, "not rehearsed")
	h.submit(request("b", "scale", `{"replicas":0}`))
	r = h.until("b", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.RehearsalUnavailable, r.Refusal.Reason)
}

func stepOf(r gateway.Record, name string) gateway.Taken {
	for _, taken := range r.Steps {
		if taken.Step == name {
			return taken
		}
	}
	return gateway.Taken{}
}

// The policies are asked again while the rehearsal is waited for.
func TestPoliciesChangeDuringARehearsal(t *testing.T) {
	h := newHub(t)
	h.rehearse = func(*bundle.Rehearsed) []byte { return nil }
	h.submit(request("a", "rollback", ``))
	require.Eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.asked) > 0 }, 5*time.Second, time.Millisecond)
	h.allow()
	h.restart()
	r := h.until("a", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.NoPolicy, r.Refusal.Reason)
	require.ErrorIs(t, h.gw.Rehearsed(t.Context(), "east", "", []byte("{}")), gateway.ErrNotOurs)
}
