package trust_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
)

// ofSite is a valid order of an action of a site's own.
func ofSite(t *testing.T, f *trusttest.Fixture) bundle.Order {
	t.Helper()
	d, err := template.Read("site-level", []byte(`{"summary":"Set the level","target":{"apiVersion":"example.org/v1","kind":"Widget","resource":"widgets"},
		"parameters":{"properties":{"level":{"type":"string","enum":["debug","info"]}},"required":["level"]},
		"fields":[{"name":"level","path":"/spec/level","expression":"parameters.level"}]}`))
	require.NoError(t, err)
	o := f.Order()
	o.Action, o.Template, o.Parameters = d.Name, &d, json.RawMessage(`{"level":"debug"}`)
	o.Target = catalogue.Target{APIVersion: "example.org/v1", Kind: "Widget", Namespace: "shop", Name: "w", UID: "d1"}
	o.Observed = catalogue.Facts{UID: "d1", Generation: 1, State: json.RawMessage(`{"level":"info"}`)}
	action, c, ok := o.Case()
	require.True(t, ok)
	o.Tier, _ = action.TierOf(c)
	o.Rules, o.Prediction, o.DeadlineSeconds = action.Rules(c), action.Predict(c), int64(action.Deadline.Seconds())
	require.Equal(t, catalogue.Medium, o.Tier)
	return o
}

// Everything that an order says of an action of a site's own is computed anew from the template that it carries.
func TestAnOrderIsHeldToItsTemplate(t *testing.T) {
	f := trusttest.New(t)
	require.Nil(t, judged(t, f, f.Seal(f.Bundle(ofSite(t, f))), f.Now))
	for name, tc := range map[string]struct {
		change func(*bundle.Order)
		reason refusal.Reason
	}{
		"without it":                {func(o *bundle.Order) { o.Template = nil }, refusal.ActionUnknown},
		"that of another action":    {func(o *bundle.Order) { o.Template.Name = "site-other" }, refusal.ActionUnknown},
		"one of the catalogue":      {func(o *bundle.Order) { o.Action, o.Template.Name = "scale", "scale" }, refusal.ActionUnknown},
		"one that does not compile": {func(o *bundle.Order) { o.Template.Fields[0].Expression = "parameters." }, refusal.ActionUnknown},
		"on Secrets": {func(o *bundle.Order) {
			o.Template.Target = template.Target{APIVersion: "v1", Kind: "Secret", Resource: "secrets"}
		}, refusal.ActionUnknown},
		"another value than it says": {func(o *bundle.Order) { o.Template.Fields[0].Expression = "'trace'" }, refusal.OrderInvalid},
		"another kind":               {func(o *bundle.Order) { o.Template.Target.Kind = "Gadget" }, refusal.TargetKindNotAllowed},
		"rights on more": {func(o *bundle.Order) {
			o.Rules = append(o.Rules, rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}})
		}, refusal.RulesMismatch},
		"parameters out of schema": {func(o *bundle.Order) { o.Parameters = json.RawMessage(`{"level":"trace"}`) }, refusal.ParametersInvalid},
		"below medium":             {func(o *bundle.Order) { o.Tier = catalogue.Low }, refusal.TierTooLow},
		"below what it demands":    {func(o *bundle.Order) { o.Template.MinTier = catalogue.High }, refusal.TierTooLow},
		"what nobody saw":          {func(o *bundle.Order) { o.Observed.State = nil }, refusal.TierTooLow},
	} {
		t.Run(name, func(t *testing.T) {
			o := ofSite(t, f)
			tc.change(&o)
			no := judged(t, f, f.Seal(f.Bundle(o)), f.Now)
			require.NotNil(t, no)
			require.Equal(t, tc.reason, no.Reason, no.Detail)
		})
	}
}

// A rehearsal carries the template too, and its draft is the order that follows.
func TestARehearsalCarriesItsTemplate(t *testing.T) {
	f := trusttest.New(t)
	o := ofSite(t, f)
	r := f.Rehearsal(o)
	require.Equal(t, o.Template, r.Template)
	a, no := trust.AuthenticateRehearsal(t.Context(), f.SealRehearsal(r), f.Root, f.Audience)
	require.Nil(t, no)
	_, no = trust.JudgeRehearsal(a, f.Now)
	require.Nil(t, no)
	require.Equal(t, o.Template.Digest(), r.Draft().Template.Digest())
}
