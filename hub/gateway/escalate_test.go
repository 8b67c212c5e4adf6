package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/store"
)

// Tell implements gateway.Notifier: what is told is in the store, under a key for each group.
func (h *hub) Tell(n gateway.Notice) ([]store.Op, error) {
	if n.Text != "" {
		return h.passOn(n)
	}
	raw, err := json.Marshal(n.Escalated)
	return []store.Op{store.Put("notice/"+n.Record.Request.ID+"/"+n.Group, raw)}, err
}

// told are the groups that were told of a request, and whether others had been asked before.
func (h *hub) told(id string) map[string]bool {
	h.t.Helper()
	prefix := "notice/" + id + "/"
	items, err := h.store.Scan(h.t.Context(), prefix, "", 10)
	require.NoError(h.t, err)
	told := map[string]bool{}
	for _, item := range items {
		told[item.Key[len(prefix):]] = string(item.Value) == "true"
	}
	return told
}

func (h *hub) asks(groups ...gateway.Group) {
	h.groups = groups
	h.restart()
}

var onCallThenLeads = []gateway.Group{{Name: "on-call"}, {Name: "leads", After: 2 * time.Minute}, {Name: "last", After: 4 * time.Minute}}

func TestARequestThatNobodyAnsweredGoesToTheNextGroup(t *testing.T) {
	h := newHub(t)
	h.asks(onCallThenLeads...)
	h.submit(request("a", "rollback", ``))
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Eventually(t, func() bool { return len(h.told("a")) == 1 }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, map[string]bool{"on-call": false}, h.told("a"))
	require.Empty(t, h.logged("a"), "the first group is no escalation")

	h.pass(119 * time.Second)
	require.Never(t, func() bool { return len(h.told("a")) > 1 }, 200*time.Millisecond, 20*time.Millisecond)
	h.pass(2 * time.Second)
	require.Eventually(t, func() bool { return len(h.told("a")) == 2 }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, map[string]bool{"on-call": false, "leads": true}, h.told("a"))
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		_, message := func() (v1alpha1.Phase, string) { r := h.last["a"]; return r.Phase() }()
		return strings.Contains(message, "(asked: on-call, then leads)")
	}, 5*time.Second, 5*time.Millisecond, "people see who was asked")
	h.restart()
	h.word("a", "carol", true)
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseSucceeded)
	h.pass(3 * time.Minute)
	require.NotContains(t, h.told("a"), "last", "it was answered")
	require.ElementsMatch(t, []auditlog.Type{auditlog.TypeEscalated, auditlog.TypeIntent, auditlog.TypeApproval, auditlog.TypeReceipt,
		auditlog.TypeOutcome}, h.logged("a"), "the escalation is on the audit log once")
}

// A hub that was away asks all whose time has come, in order; the order still ends when it ends.
func TestWhoIsAskedAfterTheHubWasAway(t *testing.T) {
	h := newHub(t)
	h.asks(onCallThenLeads...)
	h.submit(request("a", "rollback", ``))
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.stop()
	h.mu.Lock()
	h.now = h.now.Add(270 * time.Second)
	h.mu.Unlock()
	h.start()
	require.Eventually(t, func() bool { return len(h.told("a")) == 3 }, 5*time.Second, 5*time.Millisecond)
	h.pass(r.Order.ValidUntil.Sub(h.clock()) + time.Second)
	h.until("a", v1alpha1.PhaseExpired)
	require.Zero(t, h.signed(), "nothing was signed")
}

func TestNobodyIsAskedAboutAnOrderThatEnded(t *testing.T) {
	h := newHub(t)
	h.asks(onCallThenLeads...)
	h.submit(request("a", "rollback", ``))
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Eventually(t, func() bool { return len(h.told("a")) == 1 }, 5*time.Second, 5*time.Millisecond)
	h.pass(r.Order.ValidUntil.Sub(h.clock()) + time.Second)
	h.until("a", v1alpha1.PhaseExpired)
	require.Equal(t, map[string]bool{"on-call": false}, h.told("a"))
	require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("a"))
	require.Zero(t, h.signed(), "nothing was signed")
}

// Whatever crashes when the next group is asked: it is told, and what is told is on the audit log.
func TestNoEscalationIsLost(t *testing.T) {
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.asks(onCallThenLeads...)
			h.submit(request("a", "rollback", ``))
			h.until("a", v1alpha1.PhaseAwaitingApproval)
			h.stop()
			h.store.mu.Lock()
			h.store.in, h.store.after, h.store.hit = 1, after, false
			h.store.mu.Unlock()
			h.mu.Lock()
			h.now = h.now.Add(121 * time.Second)
			h.mu.Unlock()
			h.start()
			require.Eventually(t, func() bool { return h.told("a")["leads"] }, 5*time.Second, 5*time.Millisecond)
			require.Contains(t, h.logged("a"), auditlog.TypeEscalated)
			h.store.mu.Lock()
			defer h.store.mu.Unlock()
			require.True(t, h.store.hit, "it crashed")
		})
	}
}
