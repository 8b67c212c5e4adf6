package gateway_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// Undo implements gateway.Undoer: it writes down what the API server would be asked for.
func (h *hub) Undo(ctx context.Context, of gateway.Request, trace string, inverse catalogue.Undo, why string) (string, error) {
	holder, err := h.store.Get(ctx, "busy/"+of.Cluster+"/"+of.Target.String())
	if err == nil {
		h.t.Errorf("%s is asked for while %s still holds its target", v1alpha1.UndoName(of.Name), holder.Value)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.undos = append(h.undos, gateway.Request{ID: of.ID + "-undo", Namespace: of.Namespace, Name: v1alpha1.UndoName(of.Name), Cluster: of.Cluster,
		Action: inverse.Action, Parameters: inverse.Parameters, Target: of.Target, Reason: why, Requester: v1alpha1.HubAccount,
		Traceparent: trace, Undoes: of.ID, CreatedAt: h.now})
	return v1alpha1.UndoName(of.Name), nil
}

// undone is what was asked for, once however often.
func (h *hub) undone() []gateway.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]gateway.Request(nil), h.undos...)
}

// onMiss is a policy that allows everything in the shop, and says what becomes of a miss.
func onMiss(what string) v1alpha1.ActionPolicy {
	return v1alpha1.ActionPolicy{Spec: v1alpha1.ActionPolicySpec{OnMiss: what,
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}}
}

var three = []catalogue.Drift{{Field: "readyReplicas", Predicted: "5", Actual: "3"}}

// A miss is undone by an action with a life of its own: judged again, in the stead of who asked first, logged, linked both ways;
// and if that misses too, nothing more happens.
func TestAMissIsUndone(t *testing.T) {
	h := newHub(t)
	h.allow(onMiss(v1alpha1.OnMissUndo))
	h.drift = three
	asked := request("a", "scale", `{"replicas":5}`)
	asked.AgentClass = "healer"
	h.submit(asked)
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	missed := h.until("a", v1alpha1.PhaseIneffective)
	require.Equal(t, three, missed.Outcome.Drift, "the drift is in the record as values")
	require.Equal(t, "r-a.undo", missed.UndoneBy)
	undos := h.undone()
	require.Len(t, undos, 1)
	require.Contains(t, undos[0].Reason, "3/5 ready")
	require.Equal(t, missed.Trace, undos[0].Traceparent, "both are one trace")

	h.mu.Lock()
	h.facts.Replicas = 5
	h.mu.Unlock()
	h.submit(undos[0])
	r := h.until("a-undo", v1alpha1.PhaseDispatched)
	require.Equal(t, "alice", r.Request.Requester, "in the stead of who asked first")
	require.Equal(t, "healer", r.Request.AgentClass)
	require.NotEqual(t, missed.OrderDigest, r.OrderDigest)
	h.answer(r)
	h.until("a-undo", v1alpha1.PhaseIneffective)
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeReceipt, auditlog.TypeOutcome}, h.logged("a-undo"))
	require.Len(t, h.undone(), 1, "what undoes is never undone")
	again := undos[0]
	again.ID, again.Name, again.Undoes, again.Parameters = "a-undo-undo", "r-a.undo.undo", "a-undo", json.RawMessage(`{"replicas":5}`)
	h.submit(again)
	refused := h.until("a-undo-undo", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.SteadNotBelieved, refused.Refusal.Reason, "whoever asks for it")
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.entries {
		if e.Intent != nil && e.Request.UID == "a-undo" {
			require.Equal(t, "a", e.Intent.Undoes)
			require.Equal(t, "alice", e.Intent.Requester)
		}
	}
}

// The receipt and what came of it are heard at once, as after a restart of the hub. The target is free all the same before the undo is asked
// for: it would be refused for the very action that it undoes.
func TestAMissThatIsHeardWithItsReceiptIsUndone(t *testing.T) {
	h := newHub(t)
	h.allow(onMiss(v1alpha1.OnMissUndo))
	h.drift = three
	h.submit(request("a", "scale", `{"replicas":5}`))
	dispatched := h.until("a", v1alpha1.PhaseDispatched)
	h.stop()
	h.answer(dispatched)
	h.start()
	h.until("a", v1alpha1.PhaseIneffective)
	require.Len(t, h.undone(), 1)
}

func TestWhatIsNotUndone(t *testing.T) {
	for name, tc := range map[string]struct {
		policies   []v1alpha1.ActionPolicy
		action     string
		parameters string
		drift      []catalogue.Drift
		phase      v1alpha1.Phase
		says       string
	}{
		"it came true":    {[]v1alpha1.ActionPolicy{onMiss("undo")}, "scale", `{"replicas":5}`, nil, v1alpha1.PhaseSucceeded, "nothing to undo"},
		"no policy wants": {[]v1alpha1.ActionPolicy{onMiss("none")}, "scale", `{"replicas":5}`, three, v1alpha1.PhaseIneffective, "no policy has it undone"},
		"no inverse":      {[]v1alpha1.ActionPolicy{onMiss("undo")}, "rollout-restart", ``, three, v1alpha1.PhaseIneffective, "has no inverse"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.allow(tc.policies...)
			h.drift = tc.drift
			h.submit(request("a", tc.action, tc.parameters))
			h.answer(h.until("a", v1alpha1.PhaseDispatched))
			h.until("a", tc.phase)
			r := h.closed("a")
			require.Contains(t, r.Steps[len(r.Steps)-2].Detail, tc.says)
			require.Empty(t, r.UndoneBy)
			require.Empty(t, h.undone())
		})
	}
}

// An undo that nobody wants, or that is none, is refused whoever makes it, and nothing is signed.
func TestAnUndoIsBelievedByTheRecordAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		drift  []catalogue.Drift
		change func(*gateway.Request)
	}{
		"of what came true":        {"undo", nil, func(*gateway.Request) {}},
		"that no policy wants":     {"none", three, func(*gateway.Request) {}},
		"that is not the inverse":  {"undo", three, func(r *gateway.Request) { r.Parameters = json.RawMessage(`{"replicas":6}`) }},
		"of another target":        {"undo", three, func(r *gateway.Request) { r.Target.Name = "billing" }},
		"by another action":        {"undo", three, func(r *gateway.Request) { r.Action, r.Parameters = "rollout-restart", nil }},
		"of nothing":               {"undo", three, func(r *gateway.Request) { r.Undoes = "b" }},
		"for a rollout of another": {"none", three, func(r *gateway.Request) { r.Rollout = "u1" }},
		"that the intake doubts":   {"undo", three, func(r *gateway.Request) { r.Doubt = "only the hub asks in another's stead" }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.allow(onMiss(tc.policy))
			h.drift = tc.drift
			of := request("a", "scale", `{"replicas":5}`)
			h.submit(of)
			h.answer(h.until("a", v1alpha1.PhaseDispatched))
			require.Eventually(t, func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return h.last["a"].Next == ""
			}, 10*time.Second, 2*time.Millisecond)
			undo := of
			undo.ID, undo.Name, undo.Undoes, undo.Requester, undo.Parameters = "x", "r-a.undo", "a", v1alpha1.HubAccount, json.RawMessage(`{"replicas":4}`)
			tc.change(&undo)
			signed := h.signed()
			h.submit(undo)
			r := h.until("x", v1alpha1.PhaseRefused)
			require.Equal(t, refusal.SteadNotBelieved, r.Refusal.Reason, r.Refusal.Detail)
			require.Equal(t, signed, h.signed())
			require.Nil(t, r.Order)
		})
	}
}

// What is taken back before anything was signed is refused; what was signed goes on.
func TestWithdraw(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "rollback", ``))
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.NoError(t, h.gw.Withdraw(t.Context(), "a", "rollout r stopped"))
	r := h.until("a", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.Withdrawn, r.Refusal.Reason)
	require.Contains(t, r.Refusal.Detail, "rollout r stopped")
	require.Zero(t, h.signed())
	require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("a"))
	h.word("a", "carol", true)
	require.Zero(t, h.signed(), "an approval comes too late")

	h.submit(request("b", "scale", `{"replicas":5}`))
	signed := h.until("b", v1alpha1.PhaseDispatched)
	require.NoError(t, h.gw.Withdraw(t.Context(), "b", "too late"))
	h.answer(signed)
	h.until("b", v1alpha1.PhaseSucceeded)
	require.NoError(t, h.gw.Withdraw(t.Context(), "nobody", "no such request"))
}

// What did not help three times an agent may not ask for again, until it helped a person; what missed counts once, through
// restarts.
func TestWhatDoesNotHelpIsLeftToPeople(t *testing.T) {
	h := newHub(t)
	again := func(id, class string) gateway.Request {
		r := request(id, "rollout-restart", ``)
		r.Target.Name, r.AgentClass, r.CreatedAt = "checkout", class, h.clock()
		return r
	}
	h.asks(onCallThenLeads...)
	h.drift = three
	for _, id := range []string{"a", "b", "c"} {
		h.submit(again(id, "healer"))
		h.answer(h.until(id, v1alpha1.PhaseDispatched))
		h.until(id, v1alpha1.PhaseIneffective)
		h.restart()
	}
	signed := h.signed()
	h.submit(again("d", "healer"))
	no := h.until("d", v1alpha1.PhaseRefused).Refusal
	require.Equal(t, refusal.TriedInVain, no.Reason)
	require.Contains(t, no.Detail, "(on-call was asked to take over)")
	require.Contains(t, h.takes("pager", "d"), "did not have its effect 3 times (r-a, r-b, r-c)", "the hook is told")
	require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("d"))
	h.restart()
	h.submit(again("d2", "healer"))
	require.NotContains(t, h.until("d2", v1alpha1.PhaseRefused).Refusal.Detail, "take over")
	require.Empty(t, h.takes("pager", "d2"), "once: an agent that goes on asking wakes nobody again")
	require.Equal(t, signed, h.signed())
	other := request("e", "scale", `{"replicas":5}`)
	other.AgentClass = "healer"
	h.submit(other)
	h.until("e", v1alpha1.PhaseDispatched) // another target is another matter

	h.pass(23 * time.Hour)
	h.submit(again("e2", "healer"))
	h.until("e2", v1alpha1.PhaseRefused)
	h.drift = nil
	h.submit(again("f", ""))
	h.answer(h.until("f", v1alpha1.PhaseDispatched))
	h.until("f", v1alpha1.PhaseSucceeded)
	h.submit(again("g", "healer"))
	h.until("g", v1alpha1.PhaseDispatched)
}

// Misses of long ago are held against nobody.
func TestMissesOfLongAgoDoNotCount(t *testing.T) {
	h := newHub(t)
	h.drift = three
	for _, id := range []string{"a", "b", "c", "d"} {
		r := request(id, "rollout-restart", ``)
		r.AgentClass, r.CreatedAt = "healer", h.clock()
		h.submit(r)
		h.answer(h.until(id, v1alpha1.PhaseDispatched))
		h.until(id, v1alpha1.PhaseIneffective)
		h.pass(13 * time.Hour)
	}
}
