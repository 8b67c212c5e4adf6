package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/store"
)

// passOn is what is told through hooks: in the store, under a key for each, until the test takes it.
func (h *hub) passOn(n gateway.Notice) (ops []store.Op, err error) {
	for _, hook := range n.Hooks {
		raw, err := json.Marshal([]any{n.Group, n.Escalated, n.Text})
		if err != nil {
			return nil, err
		}
		ops = append(ops, store.Put("hook/"+hook+"/"+n.Record.Request.ID, raw))
	}
	return ops, nil
}

// Hooks implements gateway.Notifier.
func (h *hub) Hooks(of catalogue.Target) []string {
	switch of.Kind + "/" + of.Name {
	case "Group/on-call":
		return []string{"pager", "chat"}
	case "Channel/chat":
		return []string{"chat"}
	}
	return nil
}

// Waiting implements gateway.Notifier.
func (h *hub) Waiting(ctx context.Context, id string, hooks []string) (waits []string, err error) {
	for _, hook := range hooks {
		if _, err := h.store.Get(ctx, "hook/"+hook+"/"+id); err == nil {
			waits = append(waits, hook)
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return waits, nil
}

// takes is a hook that takes what it is told, and says what that was; empty where nothing is.
func (h *hub) takes(hook, id string) string {
	item, err := h.store.Get(h.t.Context(), "hook/"+hook+"/"+id)
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	require.NoError(h.t, err)
	h.repeat(func() error { return h.store.Commit(h.t.Context(), store.Delete(item.Key)) })
	return string(item.Value)
}

// telling is a request of an agent to tell people something.
func telling(id, action, kind, name string) gateway.Request {
	r := request(id, action, `{"text":"the disk of n1 is full"}`)
	r.AgentClass, r.Requester = "healer", "system:serviceaccount:agents:healer"
	r.Target = catalogue.Target{APIVersion: "writ.dev/v1alpha1", Kind: kind, Name: name}
	return r
}

// anywhere is a policy for everything, also what has no namespace.
func anywhere(spec v1alpha1.ActionPolicySpec) v1alpha1.ActionPolicy {
	spec.MatchConstraints = v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}
	return v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Spec: spec}
}

// An escalation needs neither a spoke nor a bundle; it is logged before anybody is told, and succeeds once every hook has taken it.
func TestTheHubTellsPeopleItself(t *testing.T) {
	h := newHub(t)
	h.away = true
	h.allow(anywhere(v1alpha1.ActionPolicySpec{}))
	h.submit(telling("a", "escalate", "Group", "on-call"))
	r := h.until("a", v1alpha1.PhaseObserving)
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeCarried}, h.logged("a"))
	require.Equal(t, "told on-call by pager, chat", r.Receipt.Change)
	require.JSONEq(t, `["on-call",true,"the disk of n1 is full"]`, h.takes("pager", "a"))
	require.Never(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.last["a"].Outcome != nil }, 1500*time.Millisecond, 50*time.Millisecond)
	h.restart()
	require.JSONEq(t, `["on-call",true,"the disk of n1 is full"]`, h.takes("chat", "a"))
	r = h.until("a", v1alpha1.PhaseSucceeded)
	require.Equal(t, "taken by pager, chat", r.Outcome.Detail)
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeCarried, auditlog.TypeObserved}, h.logged("a"))
	require.Zero(t, h.signed(), "no cluster was sent anything")
	require.Nil(t, r.Inverse())
}

func TestWhatIsNeverTakenIsAMiss(t *testing.T) {
	h := newHub(t)
	h.allow(anywhere(v1alpha1.ActionPolicySpec{OnMiss: v1alpha1.OnMissUndo}))
	h.submit(telling("a", "notify", "Channel", "chat"))
	h.until("a", v1alpha1.PhaseObserving)
	h.pass(10*time.Minute + time.Second)
	r := h.until("a", v1alpha1.PhaseIneffective)
	require.Equal(t, bundle.DidNot, r.Outcome.Result)
	require.Contains(t, r.Outcome.Detail, "not taken by chat")
	require.Empty(t, h.undone(), "there is nothing to undo")
}

// A policy may demand an approver, also for this; and a denial lets nobody be told.
func TestTellingPeopleMayNeedAnApprover(t *testing.T) {
	h := newHub(t)
	h.allow(anywhere(v1alpha1.ActionPolicySpec{MinTier: "medium"}))
	h.submit(telling("a", "notify", "Group", "on-call"))
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Empty(t, h.takes("pager", "a"))
	h.word("a", "bob", true)
	h.until("a", v1alpha1.PhaseObserving)
	require.NotEmpty(t, h.takes("pager", "a"))
	h.submit(telling("b", "notify", "Channel", "chat"))
	h.until("b", v1alpha1.PhaseAwaitingApproval)
	h.word("b", "bob", false)
	h.until("b", v1alpha1.PhaseRefused)
	require.Empty(t, h.takes("chat", "b"))
}

func TestNobodyIsToldWhatIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		request gateway.Request
		text    string
		freeze  bool
		reason  refusal.Reason
	}{
		"an unknown group":       {request: telling("a", "notify", "Group", "nobody"), reason: refusal.TargetNotFound},
		"a channel to take over": {request: telling("a", "escalate", "Channel", "chat"), reason: refusal.TargetKindNotAllowed},
		"no text":                {request: telling("a", "notify", "Channel", "chat"), text: `{}`, reason: refusal.ParametersInvalid},
		"two lines":              {request: telling("a", "notify", "Channel", "chat"), text: `{"text":"a\nb"}`, reason: refusal.ParametersInvalid},
		"an escape sequence":     {request: telling("a", "notify", "Channel", "chat"), text: `{"text":"\u001b[2J"}`, reason: refusal.ParametersInvalid},
		"text turned around":     {request: telling("a", "notify", "Channel", "chat"), text: `{"text":"a\u202eb"}`, reason: refusal.ParametersInvalid},
		"what is frozen":         {request: telling("a", "notify", "Channel", "chat"), freeze: true, reason: refusal.Frozen},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.allow(anywhere(v1alpha1.ActionPolicySpec{}))
			if tc.freeze {
				h.frozen = []gateway.Freeze{{Name: "f", UID: "f", Scope: "everything", Reason: "drill"}}
				h.restart()
			}
			if tc.text != "" {
				tc.request.Parameters = json.RawMessage(tc.text)
			}
			h.submit(tc.request)
			r := h.until("a", v1alpha1.PhaseRefused)
			require.Equal(t, tc.reason, r.Refusal.Reason, r.Refusal.Detail)
			require.Empty(t, h.takes("chat", "a")+h.takes("pager", "a"), "nobody is told")
			require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("a"))
		})
	}
}

// Whatever crashes: it is told once, and the log says so.
func TestTellingSurvivesACrashAtEveryCommit(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			h := newHub(t)
			h.allow(anywhere(v1alpha1.ActionPolicySpec{}))
			h.store.mu.Lock()
			h.store.in, h.store.after, h.store.hit = n, after, false
			h.store.mu.Unlock()
			h.repeat(func() error { return h.gw.Submit(t.Context(), telling("a", "notify", "Channel", "chat")) })
			h.until("a", v1alpha1.PhaseObserving)
			require.NotEmpty(t, h.takes("chat", "a"))
			h.restart()
			h.until("a", v1alpha1.PhaseSucceeded)
			require.Empty(t, h.takes("chat", "a"), "crash %d after=%v: told twice", n, after)
			require.Subset(t, h.logged("a"), []auditlog.Type{auditlog.TypeIntent, auditlog.TypeCarried, auditlog.TypeObserved})
			h.store.mu.Lock()
			hit := h.store.hit
			h.store.mu.Unlock()
			if !hit {
				require.Greater(t, n, 3)
				break
			}
		}
	}
}
