package gateway_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// cordoned is a hub on which a node was cordoned, for an agent class or for a person.
func cordoned(t *testing.T, class string) (*hub, gateway.Record) {
	t.Helper()
	h := newHub(t)
	return h, cordonIn(t, h, class)
}

func cordonIn(t *testing.T, h *hub, class string) gateway.Record {
	t.Helper()
	h.allow(v1alpha1.ActionPolicy{Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"cordon", "uncordon"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}})
	h.see(`{"unschedulable":false}`)
	asked := request("a", "cordon", `{}`)
	asked.AgentClass, asked.Target = class, catalogue.Target{APIVersion: "v1", Kind: "Node", Name: "n1"}
	h.submit(asked)
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.word("a", "carol", true)
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	r := h.until("a", v1alpha1.PhaseSucceeded)
	h.see(`{"unschedulable":true}`)
	return r
}

func (h *hub) see(state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.facts = catalogue.Facts{UID: "d1", State: json.RawMessage(state)}
}

// closed waits for the end of a record's life.
func (h *hub) closed(id string) gateway.Record {
	h.t.Helper()
	require.Eventually(h.t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.last[id].Next == "" }, 10*time.Second, 2*time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[id]
}

// What an agent relaxed is put back when its lease ends, however often the hub was started again: by a request that is judged as any
// other, in the stead of who asked.
func TestWhatAnAgentRelaxedIsPutBack(t *testing.T) {
	h, _ := cordoned(t, "healer")
	h.pass(59 * time.Minute)
	require.Eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.last["a"].Waiting != "" }, 10*time.Second, 2*time.Millisecond)
	h.mu.Lock()
	_, says := func() (v1alpha1.Phase, string) { r := h.last["a"]; return r.Phase() }()
	h.mu.Unlock()
	require.Contains(t, says, "the node takes no new pods, until ")
	require.Empty(t, h.undone())

	h.pass(2 * time.Minute)
	r := h.closed("a")
	require.Equal(t, "r-a.undo", r.UndoneBy)
	_, says = r.Phase()
	require.Contains(t, says, "put back by r-a.undo")
	undos := h.undone()
	require.Len(t, undos, 1)
	require.Equal(t, "uncordon", undos[0].Action)
	require.Contains(t, undos[0].Reason, "the lease of r-a has ended")
	h.submit(undos[0])
	undo := h.until("a-undo", v1alpha1.PhaseAwaitingApproval)
	require.Equal(t, "alice", undo.Request.Requester)
	require.Equal(t, "healer", undo.Request.AgentClass)
}

// An order's lease is as long as the hub was told to make it then.
func TestALeaseIsAsLongAsItWasWhenOrdered(t *testing.T) {
	h := newHub(t)
	h.gw.Limits.RelaxedFor = 5 * time.Minute
	cordonIn(t, h, "healer")
	h.gw.Limits.RelaxedFor = 24 * time.Hour
	h.pass(6 * time.Minute)
	require.Equal(t, "r-a.undo", h.closed("a").UndoneBy)
}

// Nobody puts back before the time, and nobody what somebody else has changed since.
func TestWhatIsNotPutBack(t *testing.T) {
	h, of := cordoned(t, "healer")
	early := of.Request
	early.ID, early.Name, early.Action, early.Undoes, early.Requester = "x", "r-a.undo", "uncordon", "a", v1alpha1.HubAccount
	signed := h.signed()
	h.submit(early)
	require.Equal(t, refusal.SteadNotBelieved, h.until("x", v1alpha1.PhaseRefused).Refusal.Reason)

	h.pass(61 * time.Minute)
	h.closed("a")
	h.see(`{"unschedulable":false}`)
	h.submit(h.undone()[0])
	no := h.until("a-undo", v1alpha1.PhaseRefused).Refusal
	require.Equal(t, refusal.TargetChanged, no.Reason)
	require.Contains(t, no.Detail, "no longer as r-a left it")
	require.Equal(t, signed, h.signed())
}

// What a person relaxes is the person's.
func TestAPersonHasNoLease(t *testing.T) {
	h, _ := cordoned(t, "")
	require.Contains(t, h.closed("a").Steps[len(h.closed("a").Steps)-1].Detail, "no lease")
	h.pass(48 * time.Hour)
	require.Empty(t, h.undone())
}
