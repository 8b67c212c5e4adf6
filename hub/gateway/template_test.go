package gateway_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// Template implements gateway.Templates.
func (h *hub) Template(name string) (template.Definition, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.templates == nil {
		return template.Definition{}, false, nil
	}
	d, ok := h.templates[name]
	if !ok {
		return d, true, errors.New("there is no ActionTemplate of this name")
	}
	_, err := template.Compile(d)
	return d, true, err
}

// declare puts a template in force, with an expression for its one field.
func (h *hub) declare(expression string) {
	h.t.Helper()
	d, err := template.Read("site-level", []byte(`{"summary":"Set the level","target":{"apiVersion":"example.org/v1","kind":"Widget","resource":"widgets"},
		"parameters":{"properties":{"level":{"type":"string"}},"required":["level"]},
		"fields":[{"name":"level","path":"/spec/level","expression":"`+expression+`"}]}`))
	require.NoError(h.t, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.templates = map[string]template.Definition{d.Name: d}
	h.facts = catalogue.Facts{UID: "d1", Generation: 1, State: json.RawMessage(`{"level":"info"}`)}
}

func ofSite() gateway.Request {
	r := request("a", "site-level", `{"level":"debug"}`)
	r.Target.APIVersion, r.Target.Kind = "example.org/v1", "Widget"
	return r
}

// An action of the site's own goes the way of every other. What the order says of it is what the spoke's kernel makes of the same
// template, which is on the order.
func TestAnActionOfTheSite(t *testing.T) {
	h := newHub(t)
	h.declare("parameters.level")
	h.submit(ofSite())
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Equal(t, catalogue.Medium, r.Order.Tier)
	require.NotNil(t, r.Rehearsed)
	require.Equal(t, h.templates["site-level"], *r.Order.Template)
	require.JSONEq(t, `{"level":"debug"}`, string(r.Order.Prediction.Want))
	require.Equal(t, []string{"checkout-a"}, r.Order.Rules[0].ResourceNames)
	h.word("a", "bob", true)
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	r = h.until("a", v1alpha1.PhaseSucceeded)
	require.Equal(t, &catalogue.Undo{Action: "site-level", Parameters: json.RawMessage(`{"level":"info"}`)}, r.Inverse())
	d, no := bundle.Decode(r.Bundle.Envelope)
	require.Nil(t, no)
	require.Equal(t, r.Template.Digest(), d.Order.Template.Digest())
}

// A policy of the platform team lowers the tier, and nobody else's; it is rehearsed all the same.
func TestAnActionOfTheSiteIsRehearsedAtEveryTier(t *testing.T) {
	h := newHub(t)
	h.declare("parameters.level")
	match := v1alpha1.MatchConstraints{Actions: []string{"site-*"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}
	h.allow(v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "platform"}, Spec: v1alpha1.ActionPolicySpec{Platform: true, LowerTierTo: "low", MatchConstraints: match}})
	h.lowered = catalogue.Low
	h.submit(ofSite())
	r := h.until("a", v1alpha1.PhaseDispatched)
	require.Equal(t, catalogue.Low, r.Order.Tier)
	require.NotEmpty(t, h.asked)
	require.NotEmpty(t, r.Order.RehearsalDigest)
}

// Every refusal of an action of the site's own leaves nothing signed.
func TestRefusalsOfActionsOfTheSite(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*hub)
		then    func(*hub)
		reason  refusal.Reason
		says    string
	}{
		"nobody declared it":      {prepare: func(h *hub) { h.templates = map[string]template.Definition{} }, reason: refusal.ActionUnknown, says: "nobody can ask for site-level: there is no ActionTemplate"},
		"it does not compile":     {prepare: func(h *hub) { h.declare("parameters.") }, reason: refusal.ActionUnknown, says: "fields[0].expression: 1:12"},
		"a spoke of long ago":     {prepare: func(h *hub) { h.declare("parameters.level"); h.ancient = true }, reason: refusal.SpokeTooOld, says: "upgrade it"},
		"the cluster has another": {prepare: func(h *hub) { h.declare("parameters.level"); h.facts = catalogue.Facts{} }, reason: refusal.TargetNotFound},
		"it changes before it is approved": {prepare: func(h *hub) { h.declare("parameters.level") }, then: func(h *hub) {
			h.until("a", v1alpha1.PhaseAwaitingApproval)
			h.declare("'trace'")
			h.word("a", "bob", true)
		}, reason: refusal.TemplateChanged, says: "ask again"},
		"it goes before it is approved": {prepare: func(h *hub) { h.declare("parameters.level") }, then: func(h *hub) {
			h.until("a", v1alpha1.PhaseAwaitingApproval)
			h.mu.Lock()
			h.templates = map[string]template.Definition{}
			h.mu.Unlock()
			h.word("a", "bob", true)
		}, reason: refusal.TemplateChanged},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			tc.prepare(h)
			h.submit(ofSite())
			if tc.then != nil {
				tc.then(h)
			}
			r := h.until("a", v1alpha1.PhaseRefused)
			require.Equal(t, tc.reason, r.Refusal.Reason, r.Refusal.Detail)
			require.Contains(t, r.Refusal.Detail, tc.says)
			require.Nil(t, r.Bundle)
			require.Zero(t, h.signed())
		})
	}
}

// While the templates are being read, nothing is refused for want of one.
func TestTemplatesAreWaitedFor(t *testing.T) {
	h := newHub(t)
	h.submit(ofSite())
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.last["a"].Waiting == "the templates are being read"
	}, 10*time.Second, 5*time.Millisecond)
	h.declare("parameters.level")
	h.until("a", v1alpha1.PhaseAwaitingApproval)
}
