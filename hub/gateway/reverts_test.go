package gateway_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

func (h *hub) replicas(n int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.facts.Replicas = n
}

// healing is a scale to 10 that an agent asks for, at the present time.
func (h *hub) healing(id string) gateway.Request {
	r := request(id, "scale", `{"replicas":10}`)
	r.AgentClass, r.CreatedAt, r.Target.Name = "healer", h.clock(), "checkout"
	return r
}

// healed is a hub on which an agent's scale from 8 to 10 came true, and is as old as that.
func healed(t *testing.T, age time.Duration) *hub {
	t.Helper()
	h := newHub(t)
	h.asks(onCallThenLeads...)
	h.replicas(8)
	h.submit(h.healing("a"))
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseSucceeded)
	h.replicas(10)
	h.pass(age)
	return h
}

// An agent does not fight with whatever reverts its change: the second time it is refused, through restarts, and people are asked
// once. A person may go on.
func TestAnAgentDoesNotFight(t *testing.T) {
	h := healed(t, time.Hour)
	h.replicas(8)
	signed := h.signed()
	h.submit(h.healing("b"))
	no := h.until("b", v1alpha1.PhaseRefused).Refusal
	require.Equal(t, refusal.Reverted, no.Reason)
	require.Contains(t, no.Detail, "r-a made this change at ")
	require.Contains(t, no.Detail, "(on-call was asked to take over)")
	require.Contains(t, h.takes("pager", "b"), "something else has reverted it", "the hook is told")
	require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("b"))
	h.restart()
	h.submit(h.healing("c"))
	require.NotContains(t, h.until("c", v1alpha1.PhaseRefused).Refusal.Detail, "take over")
	require.Empty(t, h.takes("pager", "c"), "once")
	require.Equal(t, signed, h.signed())

	person := h.healing("d")
	person.AgentClass = ""
	h.submit(person)
	h.answer(h.until("d", v1alpha1.PhaseDispatched))
	h.until("d", v1alpha1.PhaseSucceeded)
}

// What looks like a fight and is none.
func TestWhatIsNoFight(t *testing.T) {
	for name, then := range map[string]func(h *hub) gateway.Request{
		"another change": func(h *hub) gateway.Request {
			r := h.healing("b")
			r.Parameters = []byte(`{"replicas":9}`)
			return r
		},
		"another object of the name": func(h *hub) gateway.Request {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.facts.UID = "d2"
			return gateway.Request{}
		},
		"from another number": func(h *hub) gateway.Request { h.replicas(9); return gateway.Request{} },
		"a day later":         func(h *hub) gateway.Request { h.pass(25 * time.Hour); return gateway.Request{} },
		"put back by a request": func(h *hub) gateway.Request {
			back := h.healing("back")
			back.AgentClass, back.Parameters = "", []byte(`{"replicas":8}`)
			h.replicas(10)
			h.submit(back)
			h.answer(h.until("back", v1alpha1.PhaseDispatched))
			h.until("back", v1alpha1.PhaseSucceeded)
			h.replicas(8)
			return gateway.Request{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := healed(t, time.Minute)
			h.replicas(8)
			asked := then(h)
			if asked.ID == "" {
				asked = h.healing("b")
			}
			h.submit(asked)
			h.until("b", v1alpha1.PhaseDispatched)
		})
	}
}

// What was rehearsed is told by what the rehearsals showed.
func TestAnAgentDoesNotFightForWhatWasRehearsed(t *testing.T) {
	h := newHub(t)
	for _, id := range []string{"a", "b", "c"} {
		asked := h.healing(id)
		asked.Parameters = []byte(`{"replicas":40}`)
		if id == "c" {
			h.rehearse = func(word *bundle.Rehearsed) []byte {
				word.Diff.Changes[0].Before = "5"
				word.Digest = word.Diff.Digest()
				return h.vouch(word)
			}
		}
		h.submit(asked)
		if id == "b" {
			require.Equal(t, refusal.Reverted, h.until(id, v1alpha1.PhaseRefused).Refusal.Reason)
			continue
		}
		h.until(id, v1alpha1.PhaseAwaitingApproval) // of c: from another number
		h.word(id, "carol", true)
		h.answer(h.until(id, v1alpha1.PhaseDispatched))
		h.until(id, v1alpha1.PhaseSucceeded)
	}
}

// What was put back before its prediction ended is left to people, whatever the policy says of a miss.
func TestWhatIsRevertedIsNotUndone(t *testing.T) {
	h := newHub(t)
	h.asks(onCallThenLeads...)
	h.allow(onMiss(v1alpha1.OnMissUndo))
	h.replicas(8)
	h.drift = []catalogue.Drift{{Field: "replicas", Predicted: "10", Actual: "8"}, {Field: "readyReplicas", Predicted: "10", Actual: "8"}}
	h.submit(h.healing("a"))
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseIneffective)
	r := h.closed("a")
	require.Empty(t, h.undone())
	_, says := r.Phase()
	require.Contains(t, says, "something else has reverted it")
	require.Contains(t, h.takes("pager", "a"), "something else has reverted it")
	h.submit(h.healing("b"))
	require.Equal(t, refusal.Reverted, h.until("b", v1alpha1.PhaseRefused).Refusal.Reason)
}

// gitOps is a policy for what Flux owns.
func (h *hub) gitOps(says string) {
	h.mu.Lock()
	h.facts.ManagedBy = catalogue.Flux
	h.mu.Unlock()
	h.allow(v1alpha1.ActionPolicy{Spec: v1alpha1.ActionPolicySpec{GitOps: says,
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}})
}

// What a GitOps tool owns is changed only where a policy says what then.
func TestWhatAGitOpsToolOwns(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		h := newHub(t)
		for says, reason := range map[string]refusal.Reason{"": refusal.NoPolicy, v1alpha1.GitOpsRefuse: refusal.PolicyDenied} {
			h.gitOps(says)
			asked := h.healing("a" + says)
			h.submit(asked)
			no := h.until(asked.ID, v1alpha1.PhaseRefused).Refusal
			require.Equal(t, reason, no.Reason)
			require.Contains(t, no.Detail, "flux owns deployment/shop/checkout")
		}
		require.Zero(t, h.signed())
	})
	t.Run("leased", func(t *testing.T) {
		h := newHub(t)
		h.gitOps(v1alpha1.GitOpsLease)
		h.replicas(8)
		asked := h.healing("a")
		asked.AgentClass = "" // also of a person: it is not the person's
		h.submit(asked)
		h.answer(h.until("a", v1alpha1.PhaseDispatched))
		h.until("a", v1alpha1.PhaseSucceeded)
		h.replicas(10)
		h.pass(59 * time.Minute)
		require.Empty(t, h.undone())
		h.pass(2 * time.Minute)
		require.Equal(t, "r-a.undo", h.closed("a").UndoneBy)
		back := h.undone()[0]
		require.Contains(t, back.Reason, "leased from flux")
		h.gitOps(v1alpha1.GitOpsRefuse)
		h.submit(back)
		h.answer(h.until("a-undo", v1alpha1.PhaseDispatched)) // what gives it back, nobody has anything against
		h.until("a-undo", v1alpha1.PhaseSucceeded)
	})
	t.Run("not leased where it cannot be put back", func(t *testing.T) {
		h := newHub(t)
		h.gitOps(v1alpha1.GitOpsLease)
		asked := h.healing("a")
		asked.Action, asked.Parameters = "rollout-restart", []byte(`{}`)
		h.submit(asked)
		no := h.until("a", v1alpha1.PhaseRefused).Refusal
		require.Equal(t, refusal.PolicyDenied, no.Reason)
		require.Contains(t, no.Detail, "rollout-restart cannot be put back")
		require.Zero(t, h.signed())
	})
	t.Run("told", func(t *testing.T) {
		h := newHub(t)
		h.asks(onCallThenLeads...)
		h.gitOps(v1alpha1.GitOpsNotify)
		h.replicas(8)
		h.submit(h.healing("a"))
		h.answer(h.until("a", v1alpha1.PhaseDispatched))
		h.until("a", v1alpha1.PhaseSucceeded)
		require.Contains(t, h.takes("pager", "a"), "bring the change to its source")
		require.Empty(t, h.undone())
	})
}
