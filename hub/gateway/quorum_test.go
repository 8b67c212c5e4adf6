package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// signedWord is an approver's word, with a signature over the order that waits.
func (h *hub) signedWord(id string, word gateway.Word, key *bundle.Key) gateway.Word {
	h.t.Helper()
	h.mu.Lock()
	r := h.last[id]
	h.mu.Unlock()
	if word.OrderDigest == "" {
		word.OrderDigest = r.OrderDigest
	}
	raw, err := bundle.Seal(context.Background(), bundle.OrderType, *r.Order, key)
	require.NoError(h.t, err)
	envelope, _, _, no := bundle.OpenOrder(raw)
	require.Nil(h.t, no)
	word.Approve, word.Signature, word.At = true, &envelope.Signatures[0], h.clock()
	return word
}

func (h *hub) hear(id string, word gateway.Word) {
	h.t.Helper()
	h.repeat(func() error { return h.gw.Hear(context.Background(), id, word) })
}

// waits waits until a request waits for approval and says so.
func (h *hub) waits(id, says string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		r := h.last[id]
		phase, message := r.Phase()
		return phase == v1alpha1.PhaseAwaitingApproval && strings.Contains(message, says)
	}, 5*time.Second, time.Millisecond, says)
}

// A high order is signed for the cluster once two of the trust root's approvers have signed it, and the spoke's kernel agrees.
func TestAHighActionWaitsForAQuorum(t *testing.T) {
	for name, prepare := range map[string]func(h *hub) gateway.Request{
		"scale to zero":    func(*hub) gateway.Request { return request("a", "scale", `{"replicas":0}`) },
		"protected target": func(h *hub) gateway.Request { h.facts.Protected = true; return request("a", "scale", `{"replicas":5}`) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.submit(prepare(h))
			h.waits("a", "0 of 2 have")
			h.hear("a", h.signedWord("a", gateway.Word{ID: "1", Approver: "ann"}, h.f.Approvers[0]))
			h.waits("a", "1 of 2 have")
			h.restart()
			h.hear("a", h.signedWord("a", gateway.Word{ID: "2", Approver: "cyd"}, h.f.Approvers[2]))
			r := h.until("a", v1alpha1.PhaseDispatched)
			d, no := bundle.Decode(r.Bundle.Envelope)
			require.Nil(t, no)
			require.Equal(t, catalogue.High, d.Order.Tier)
			authentic, no := trust.Authenticate(t.Context(), d, h.f.Root, trust.Expect{Audience: h.f.Audience, Epoch: 1})
			require.Nil(t, no)
			verified, no := trust.Judge(t.Context(), authentic, h.clock())
			require.Nil(t, no)
			require.Len(t, verified.Approvers(), 2)
		})
	}
}

// Words that do not count: the request goes on waiting, and nothing is signed for the cluster.
func TestWordsThatDoNotMakeAQuorum(t *testing.T) {
	for name, tc := range map[string]struct {
		word func(h *hub) gateway.Word
		says string
	}{
		"not signed": {func(*hub) gateway.Word { return gateway.Word{Approver: "bob", Approve: true} }, "bob has not signed"},
		"another order": {func(h *hub) gateway.Word {
			return h.signedWord("a", gateway.Word{Approver: "bob", OrderDigest: bundle.Digest([]byte("another"))}, h.f.Approvers[1])
		}, "bob approved another order"},
		"the requester": {func(h *hub) gateway.Word { return h.signedWord("a", gateway.Word{Approver: "alice"}, h.f.Approvers[1]) },
			"nobody approves their own request"},
		"somebody else's key":   {func(h *hub) gateway.Word { return h.signedWord("a", gateway.Word{Approver: "bob"}, h.f.Approvers[2]) }, "does not give to them"},
		"no approver":           {func(h *hub) gateway.Word { return h.signedWord("a", gateway.Word{Approver: "eve"}, h.f.Approvers[1]) }, "does not give to them"},
		"a key that nobody has": {func(h *hub) gateway.Word { return h.signedWord("a", gateway.Word{Approver: "bob"}, h.f.Keys(1)[0]) }, "does not give to them"},
		"the gateway's own key": {func(h *hub) gateway.Word { return h.signedWord("a", gateway.Word{Approver: "bob"}, h.f.Gateway) }, "does not give to them"},
		"the same person again": {func(h *hub) gateway.Word { return h.signedWord("a", gateway.Word{Approver: "ann"}, h.f.Approvers[0]) }, "ann has signed already"},
		"a signature of nothing": {func(h *hub) gateway.Word {
			return forged(h.signedWord("a", gateway.Word{Approver: "bob"}, h.f.Approvers[1]))
		}, "does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.submit(request("a", "scale", `{"replicas":0}`))
			h.waits("a", "0 of 2 have")
			h.hear("a", h.signedWord("a", gateway.Word{ID: "first", Approver: "ann"}, h.f.Approvers[0]))
			h.waits("a", "1 of 2 have")
			word := tc.word(h)
			word.ID = "second"
			if word.OrderDigest == "" {
				word.OrderDigest = h.last["a"].OrderDigest
			}
			h.hear("a", word)
			h.waits("a", tc.says)
			h.waits("a", "1 of 2 have")
			require.Zero(t, h.signed())
			require.Empty(t, h.logged("a"))
		})
	}
}

func forged(word gateway.Word) gateway.Word {
	word.Signature = &dsse.Signature{KeyID: word.Signature.KeyID, Sig: "AAAA"}
	return word
}

func TestOneDenialEndsAHighAction(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "scale", `{"replicas":0}`))
	h.waits("a", "0 of 2 have")
	h.hear("a", h.signedWord("a", gateway.Word{ID: "1", Approver: "ann"}, h.f.Approvers[0]))
	h.waits("a", "1 of 2 have")
	h.word("a", "eve", false)
	r := h.until("a", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.Denied, r.Refusal.Reason)
	require.Zero(t, h.signed())
}
