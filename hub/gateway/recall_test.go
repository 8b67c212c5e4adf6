package gateway_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// config is a request about a ConfigMap, which holds what is said when it is looked at.
func (h *hub) config(id, action, parameters, holds string) gateway.Request {
	r := request(id, action, parameters)
	r.Target = catalogue.Target{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "settings"}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.facts = catalogue.Facts{UID: "c1", State: json.RawMessage(`{"values":` + holds + `,"consumers":1,"available":true}`)}
	return r
}

// carriedOut has a request approved and done.
func (h *hub) carriedOut(r gateway.Request) gateway.Record {
	h.submit(r)
	h.until(r.ID, v1alpha1.PhaseAwaitingApproval)
	h.word(r.ID, "bob", true)
	h.answer(h.until(r.ID, v1alpha1.PhaseDispatched))
	return h.until(r.ID, v1alpha1.PhaseSucceeded)
}

// What is restored is what the hub recorded when it changed it, whatever the cluster holds by now and whoever asks.
func TestARestoreIsOfWhatWasRecorded(t *testing.T) {
	h := newHub(t)
	h.carriedOut(h.config("a", "patch-configmap", `{"values":{"mode":"slow","new":"1"}}`, `{"mode":"fast","new":null}`))
	r := h.carriedOut(h.config("b", "restore-configmap", `{"revision":"order-a"}`, `{"mode":"broken","new":"1"}`))
	require.JSONEq(t, `{"revision":"order-a","values":{"mode":"fast","new":null}}`, string(r.Order.Parameters))
	require.JSONEq(t, `{"values":{"mode":"broken","new":"1"}}`, string(r.Inverse().Parameters))

	r = h.carriedOut(h.config("c", "restore-configmap", `{"revision":"order-b"}`, `{"mode":"fast","new":null}`))
	require.JSONEq(t, `{"revision":"order-b","values":{"mode":"broken","new":"1"}}`, string(r.Order.Parameters), "a restore is a revision too")
}

func TestARestoreOfWhatWasNotRecordedIsRefused(t *testing.T) {
	h := newHub(t)
	h.carriedOut(h.config("a", "patch-configmap", `{"values":{"mode":"slow"}}`, `{"mode":"fast"}`))
	h.submit(h.config("denied", "patch-configmap", `{"values":{"mode":"never"}}`, `{"mode":"slow"}`))
	h.until("denied", v1alpha1.PhaseAwaitingApproval)
	h.word("denied", "bob", false)
	h.until("denied", v1alpha1.PhaseRefused)
	h.carriedOut(request("scaled", "rollback", ``))
	before := h.signed()
	for name, tc := range map[string]struct {
		parameters string
		change     func(*gateway.Request)
		reason     refusal.Reason
	}{
		"its own values":     {parameters: `{"revision":"order-a","values":{"mode":"mine"}}`, reason: refusal.ParametersInvalid},
		"no revision":        {parameters: `{}`, reason: refusal.ParametersInvalid},
		"an order of nobody": {parameters: `{"revision":"order-x"}`, reason: refusal.RevisionUnknown},
		"one that was not":   {parameters: `{"revision":"order-denied"}`, reason: refusal.RevisionUnknown},
		"another action":     {parameters: `{"revision":"order-scaled"}`, reason: refusal.RevisionUnknown},
		"another target": {parameters: `{"revision":"order-a"}`, reason: refusal.RevisionUnknown,
			change: func(r *gateway.Request) { r.Target.Name = "others" }},
		"another cluster": {parameters: `{"revision":"order-a"}`, reason: refusal.RevisionUnknown,
			change: func(r *gateway.Request) { r.Cluster = "north" }},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.config("r-"+name, "restore-configmap", tc.parameters, `{"mode":"slow"}`)
			if tc.change != nil {
				tc.change(&r)
			}
			h.submit(r)
			done := h.until(r.ID, v1alpha1.PhaseRefused)
			require.Equal(t, tc.reason, done.Refusal.Reason, done.Refusal.Detail)
			require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged(r.ID))
			require.Equal(t, before, h.signed(), "nothing was signed")
		})
	}
}
