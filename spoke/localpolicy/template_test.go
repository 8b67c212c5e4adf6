package localpolicy

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/template"
)

const withTemplate = `
templates:
  - name: site-level
    summary: Set the level
    target: {apiVersion: example.org/v1, kind: Widget, resource: widgets}
    parameters: {properties: {level: {type: string}}, required: [level]}
    fields: [{name: level, path: /spec/level, expression: parameters.level}]
rules:
  - {actions: [site-level], namespaces: [shop], kinds: [Widget], maxTier: medium, lowerTierTo: low}
`

func ofSite(t *testing.T, change func(*template.Definition)) bundle.Order {
	t.Helper()
	rules, err := Parse([]byte(withTemplate))
	require.NoError(t, err)
	d := rules.Templates[0]
	change(&d)
	o := order(d.Name, "Widget", "shop", `{"level":"debug"}`)
	o.Target.APIVersion, o.Tier, o.Template = "example.org/v1", catalogue.Medium, &d
	return o
}

func TestATemplateIsAllowedByItsContent(t *testing.T) {
	rules, err := Parse([]byte(withTemplate))
	require.NoError(t, err)
	known := ofSite(t, func(*template.Definition) {})
	require.Nil(t, rules.Allow(known, catalogue.Medium, noon))
	require.Equal(t, catalogue.Low, rules.Lowers(known, noon))

	everything, err := Parse([]byte(`rules: [{actions: ["*"], namespaces: ["*"], maxTier: high, lowerTierTo: low}]`))
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		rules Rules
		order bundle.Order
		says  string
	}{
		"another expression": {rules, ofSite(t, func(d *template.Definition) { d.Fields[0].Expression = "'trace'" }), "templates has another one of that name: sha256:"},
		"another summary":    {rules, ofSite(t, func(d *template.Definition) { d.Summary = "Set it" }), "templates has another one of that name"},
		"another name":       {rules, ofSite(t, func(d *template.Definition) { d.Name = "site-other" }), "templates has none of that name"},
		"one that nobody knows, where everything is allowed": {everything, known, "templates has none of that name"},
	} {
		t.Run(name, func(t *testing.T) {
			no := tc.rules.Allow(tc.order, catalogue.Medium, noon)
			require.NotNil(t, no)
			require.Contains(t, no.Detail, tc.says)
			require.Empty(t, tc.rules.Lowers(tc.order, noon))
		})
	}
	action, digest := rules.Template("site-level")
	require.Equal(t, "site-level", action.Name)
	require.Equal(t, known.Template.Digest(), digest)
	action, _ = rules.Template("site-other")
	require.Nil(t, action)
}

func TestATemplateThatDoesNotCompileIsNoPolicy(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"an expression":    {`templates: [{name: site-x, summary: x, target: {apiVersion: example.org/v1, kind: W, resource: ws}, fields: [{name: f, path: /spec/f, expression: "1 +"}]}]`, "templates[0].fields[0].expression: 1:4"},
		"a Secret":         {`templates: [{name: site-x, summary: x, target: {apiVersion: v1, kind: Secret, resource: secrets}, fields: [{name: f, path: /data/f, expression: "'x'"}]}]`, "no action of a site is on secrets"},
		"a field too many": {`templates: [{name: site-x, allow: true}]`, "unknown field"},
		"one twice":        {withTemplate + withTemplate, "already"},
		"a rule of none":   {`rules: [{actions: [site-level], namespaces: [shop]}]`, "nor in templates"},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := Parse([]byte(c.text))
			require.ErrorContains(t, err, c.says)
			raw, _ := json.Marshal(rules)
			require.JSONEq(t, `{"rules":null}`, string(raw))
		})
	}
}
