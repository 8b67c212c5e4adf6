package template_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/template"
)

// level sets the log level of a Widget, and counts how often.
const level = `{
	"summary": "Set the log level",
	"target": {"apiVersion": "example.org/v1", "kind": "Widget", "resource": "widgets"},
	"parameters": {"properties": {
		"level": {"type": "string", "enum": ["debug", "info", "warn"], "nullable": true},
		"labels": {"type": "object", "additionalProperties": {"type": "string"}}},
		"required": ["level"]},
	"observe": [{"name": "locked", "path": "/spec/locked"}],
	"validations": [{"expression": "observed.locked != true", "message": "the widget is locked"}],
	"fields": [
		{"name": "level", "path": "/spec/logging/level", "expression": "parameters.level"},
		{"name": "changes", "path": "/metadata/annotations/example.org~1changes", "expression": "string(int(observed.changes == null ? '0' : observed.changes) + 1)"}]
}`

func read(t *testing.T, name, spec string) template.Definition {
	t.Helper()
	d, err := template.Read(name, []byte(spec))
	require.NoError(t, err)
	return d
}

func action(t *testing.T, spec string) *catalogue.Action {
	t.Helper()
	a, err := template.Compile(read(t, "site-level", spec))
	require.NoError(t, err)
	return a
}

// with is the spec with one field replaced.
func with(t *testing.T, field, value string) string {
	t.Helper()
	var spec map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(level), &spec))
	spec[field] = json.RawMessage(value)
	raw, err := json.Marshal(spec)
	require.NoError(t, err)
	return string(raw)
}

func caseOf(a *catalogue.Action, parameters, state string) catalogue.Case {
	k := a.Kinds[0]
	return catalogue.Case{Kind: k, Parameters: json.RawMessage(parameters), OrderID: "order-1",
		Target: catalogue.Target{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: "shop", Name: "w", UID: "u1"},
		Facts:  catalogue.Facts{UID: "u1", State: json.RawMessage(state)}}
}

func TestAnActionOfASite(t *testing.T) {
	a := action(t, level)
	first := caseOf(a, `{"level":"debug"}`, "")
	first.Facts = catalogue.Facts{}
	object := []byte(`{"kind":"Widget","metadata":{"uid":"u1","resourceVersion":"7"},"spec":{"size":3}}`)
	state, err := a.See(first, object, nil)
	require.NoError(t, err)
	require.JSONEq(t, `{"level":null,"changes":null,"locked":null}`, string(state))

	c := caseOf(a, `{"level":"debug"}`, string(state))
	tier, why := a.TierOf(c)
	require.Equal(t, catalogue.Medium, tier, why)
	require.Equal(t, `[{"verbs":["get","patch"],"apiGroups":["example.org"],"resources":["widgets"],"resourceNames":["w"]}]`, marshal(t, a.Rules(c)))
	p := a.Predict(c)
	require.JSONEq(t, `{"level":"debug","changes":"1"}`, string(p.Want))
	require.EqualValues(t, 60, p.WithinSeconds)

	change, err := a.Change(c, catalogue.Stamp{OrderID: "order-1", At: time.Unix(0, 0)}, [][]byte{object})
	require.NoError(t, err)
	require.Equal(t, `changes none → "1", level none → "debug"`, change.Says)
	require.JSONEq(t, `[{"op":"test","path":"/metadata/uid","value":"u1"},{"op":"test","path":"/metadata/resourceVersion","value":"7"},
		{"op":"add","path":"/metadata/annotations","value":{"writ.dev/order":"order-1"}},
		{"op":"add","path":"/metadata/annotations/example.org~1changes","value":"1"},
		{"op":"add","path":"/spec/logging","value":{"level":"debug"}}]`, string(change.Body))

	after := catalogue.Facts{UID: "u1", State: json.RawMessage(`{"level":"debug","changes":"1","locked":true}`)}
	held, seen := p.Holds(after)
	require.True(t, held, seen)
	_, err = a.See(c, []byte(`{"kind":"Widget","spec":{"logging":{"level":"debug"},"locked":true}}`), nil)
	require.NoError(t, err, "what is looked at afterwards is not held to the validations")
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

func TestATargetThatDoesNotFitIsRefused(t *testing.T) {
	a := action(t, level)
	first := caseOf(a, `{"level":"debug"}`, "")
	first.Facts = catalogue.Facts{}
	for object, says := range map[string]string{
		`{"kind":"Widget","spec":{"locked":true}}`: "the widget is locked",
		`{"kind":"Gadget"}`:                        "has no Widget, it has a Gadget",
		`{"kind":"Widget","spec":{"logging":[1]}}`: "/spec/logging is no object",
		`{"kind":"Widget","metadata":{"annotations":{"example.org/changes":"a number"}}}`: "changes cannot be computed",
	} {
		_, err := a.See(first, []byte(object), nil)
		require.ErrorIs(t, err, catalogue.ErrUnfit)
		require.ErrorContains(t, err, says)
	}
}

func TestNothingIsChangedThatWasNotJudged(t *testing.T) {
	a := action(t, level)
	object := func(uid, level string) [][]byte {
		return [][]byte{fmt.Appendf(nil, `{"kind":"Widget","metadata":{"uid":%q,"resourceVersion":"7"},"spec":{"logging":{"level":%q}}}`, uid, level)}
	}
	c := caseOf(a, `{"level":"debug"}`, `{"level":"info","changes":null,"locked":null}`)
	_, err := a.Change(c, catalogue.Stamp{}, object("u1", "info"))
	require.NoError(t, err)
	for _, read := range [][][]byte{object("u2", "info"), object("u1", "warn")} {
		_, err = a.Change(c, catalogue.Stamp{}, read)
		require.ErrorIs(t, err, catalogue.ErrTargetChanged)
	}
	// A state that nobody saw so: the tier is high, nothing is predicted, nothing is changed.
	forged := caseOf(a, `{"level":"debug"}`, `{"level":"info","changes":"x","locked":null}`)
	tier, _ := a.TierOf(forged)
	require.Equal(t, catalogue.High, tier)
	held, _ := a.Predict(forged).Holds(catalogue.Facts{UID: "u1", State: forged.Facts.State})
	require.False(t, held)
	require.Nil(t, a.Inverse(forged))
}

func TestTheInverseIsTheActionItself(t *testing.T) {
	same := `[{"name":"level","path":"/spec/level","expression":"parameters.level"}]`
	for name, tc := range map[string]struct{ spec, parameters, state, undo string }{
		"the former value":                       {with(t, "fields", same), `{"level":"debug"}`, `{"level":"info","locked":null}`, `{"level":"info"}`},
		"a field that was not set":               {with(t, "fields", same), `{"level":"debug"}`, `{"level":null,"locked":null}`, `{"level":null}`},
		"the others stay":                        {with(t, "fields", same), `{"level":"debug","labels":{"a":"b"}}`, `{"level":"info","locked":null}`, `{"level":"info","labels":{"a":"b"}}`},
		"a value that the parameters cannot say": {with(t, "fields", same), `{"level":"debug"}`, `{"level":"trace","locked":null}`, ``},
		"a field that does not come back":        {level, `{"level":"debug"}`, `{"level":"info","changes":"1","locked":null}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			a := action(t, tc.spec)
			undo := a.Inverse(caseOf(a, tc.parameters, tc.state))
			if tc.undo == "" {
				require.Nil(t, undo)
				return
			}
			require.NotNil(t, undo)
			require.Equal(t, "site-level", undo.Action)
			require.JSONEq(t, tc.undo, string(undo.Parameters))
			require.NoError(t, a.Validate(undo.Parameters))
		})
	}
}

func TestParametersAreHeldToTheirSchema(t *testing.T) {
	a := action(t, with(t, "parameters", `{"properties":{"level":{"type":"string","enum":["debug"]},"n":{"type":"integer","minimum":1,"maximum":3},
		"list":{"type":"array","items":{"type":"number"},"maxItems":2},"map":{"type":"object","additionalProperties":{"type":"boolean"}}},"required":["level"]}`))
	require.NoError(t, a.Validate(json.RawMessage(`{"level":"debug","n":3,"list":[1,2.5],"map":{"a":true}}`)))
	for _, bad := range []string{``, `{}`, `{"level":"info"}`, `{"level":null}`, `{"level":"debug","x":1}`, `{"level":"debug","n":4}`, `{"level":"debug","n":1.5}`,
		`{"level":"debug","list":[1,2,3]}`, `{"level":"debug","map":{"a":1}}`, `{"level":"debug","level":"debug"}`, `{"Level":"debug"}`, `[]`,
		`{"level":"` + strings.Repeat("x", 2000) + `"}`} {
		require.Error(t, a.Validate(json.RawMessage(bad)), bad)
	}
}

func TestWhatCannotBeMeantIsRefusedWithItsPlace(t *testing.T) {
	kind := func(version, kind, resource string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"resource":%q}`, version, kind, resource)
	}
	field := func(path, expression string) string {
		return fmt.Sprintf(`[{"name":"f","path":%q,"expression":%q}]`, path, expression)
	}
	for name, tc := range map[string]struct{ field, value, says string }{
		"a Secret":                    {"target", kind("v1", "Secret", "secrets"), "no action of a site is on secrets"},
		"Secrets under another name":  {"target", kind("v1", "ConfigMap", "secrets"), "no action of a site is on secrets"},
		"a Role":                      {"target", kind("rbac.authorization.k8s.io/v1", "Role", "roles"), "no action of a site is on roles"},
		"a webhook":                   {"target", kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"), "no action of a site"},
		"a CRD":                       {"target", kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"), "no action of a site"},
		"an account":                  {"target", kind("v1", "ServiceAccount", "serviceaccounts"), "no action of a site"},
		"a namespace":                 {"target", kind("v1", "Namespace", "namespaces"), "no action of a site"},
		"a pod":                       {"target", kind("v1", "Pod", "pods"), "no action of a site"},
		"a policy of another engine":  {"target", kind("kyverno.io/v1", "Policy", "policies"), "decides about rights, admission or Secrets"},
		"below such a group":          {"target", kind("constraints.gatekeeper.sh/v1beta1", "K8sAllowed", "k8sallowed"), "decides about rights"},
		"Writ's own":                  {"target", kind("writ.dev/v1alpha1", "ActionPolicy", "actionpolicies"), "decides about rights"},
		"a subresource":               {"target", kind("example.org/v1", "Widget", "widgets/status"), "no subresource"},
		"no version":                  {"target", kind("example.org", "Widget", "widgets"), "apiVersion"},
		"status":                      {"fields", field("/status/ready", "true"), "fields[0].path: /status is what its controller says"},
		"the kind":                    {"fields", field("/kind", "'x'"), "fields[0].path: /kind says what the object is"},
		"owners":                      {"fields", field("/metadata/ownerReferences", "[]"), "one label or one annotation"},
		"all labels":                  {"fields", field("/metadata/labels", "{}"), "one label or one annotation"},
		"a reserved label":            {"fields", field("/metadata/labels/writ.dev~1protected", "'false'"), "the key writ.dev/protected is reserved"},
		"no pointer":                  {"fields", field("spec.level", "1"), "is no JSON pointer"},
		"a bad escape":                {"fields", field("/spec/a~2", "1"), "is no JSON pointer"},
		"no field at all":             {"fields", `[]`, "there must be 1 to 32"},
		"a name twice":                {"fields", `[{"name":"f","path":"/spec/a","expression":"1"},{"name":"f","path":"/spec/b","expression":"1"}]`, `fields[1].name: "f" is there twice`},
		"one field in another":        {"fields", `[{"name":"f","path":"/spec/a","expression":"{}"},{"name":"g","path":"/spec/a/b","expression":"1"}]`, "fields[1].path: /spec/a/b is within"},
		"no name":                     {"fields", `[{"name":"a b","path":"/spec/a","expression":"1"}]`, "fields[0].name"},
		"an unknown parameter":        {"fields", field("/spec/a", "1 +\n parameters.nope"), "fields[0].expression: 2:12: undefined field 'nope'"},
		"an unknown observation":      {"fields", field("/spec/a", "observed.nope"), "fields[0].expression: 1:9: undefined field 'nope'"},
		"a type that does not fit":    {"fields", field("/spec/a", "parameters.labels + 1"), "fields[0].expression: 1:19: found no matching overload"},
		"a syntax that is none":       {"fields", field("/spec/a", "1 +"), "fields[0].expression: 1:4:"},
		"the whole target":            {"fields", field("/spec/a", "object.spec"), "undeclared reference"},
		"a validation that is a text": {"validations", `[{"expression":"'x'"}]`, "validations[0].expression"},
		"an inverse of nothing":       {"inverse", `{"nope":"1"}`, "inverse.nope: there is no such parameter"},
		"an inverse of another type":  {"inverse", `{"labels":"1"}`, "inverse.labels"},
		"tier low":                    {"minTier", `"low"`, "only a policy of the platform team lowers a tier"},
		"no summary":                  {"summary", `" "`, "summary"},
		"two lines":                   {"summary", `"a\nb"`, "summary"},
		"a parameter of no type":      {"parameters", `{"properties":{"x":{"type":"date"}}}`, "parameters: properties.x: type"},
		"an array of nothing":         {"parameters", `{"properties":{"x":{"type":"array"}}}`, "says of what"},
		"a pattern that is none":      {"parameters", `{"properties":{"x":{"type":"string","pattern":"("}}}`, "pattern"},
		"a required one that is not":  {"parameters", `{"required":["x"]}`, `required[0]: "x" is no property`},
		"a year":                      {"withinSeconds", `31536000`, "withinSeconds"},
		"too long":                    {"validations", `[{"expression":"true || ` + strings.Repeat("!", 20_000) + `true"}]`, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := template.Read("site-level", []byte(with(t, tc.field, tc.value)))
			if err == nil {
				_, err = template.Compile(d)
			}
			require.ErrorContains(t, err, tc.says)
		})
	}
	for _, name := range []string{"", "scale", "site-", "site-A", "other-level", "site-" + strings.Repeat("a", 60)} {
		_, err := template.Compile(read(t, name, level))
		require.ErrorContains(t, err, "metadata.name", name)
	}
	for _, spec := range []string{with(t, "object", `{}`), with(t, "Summary", `"x"`), strings.Replace(level, `"summary"`, `"summary":"twice","summary"`, 1)} {
		_, err := template.Read("site-level", []byte(spec))
		require.Error(t, err, spec)
	}
}

// What the catalogue's own actions are for, or nobody's, is not reached by way of a template.
func TestAPodTemplateIsNotForTemplates(t *testing.T) {
	for _, of := range []struct{ kind, resource, spec, version string }{
		{"Deployment", "deployments", "/spec/template/spec", "apps/v1"}, {"CronJob", "cronjobs", "/spec/jobTemplate/spec/template/spec", "batch/v1"}} {
		spec := func(field, path string) string {
			var s map[string]any
			require.NoError(t, json.Unmarshal([]byte(with(t, "target", fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"resource":%q}`, of.version, of.kind, of.resource))), &s))
			delete(s, "validations")
			s["observe"] = []any{}
			s["fields"] = []any{map[string]any{"name": "f", "path": "/spec/x", "expression": "1"}}
			s[field] = []any{map[string]any{"name": "g", "path": path, "expression": "1"}}
			if field == "observe" {
				s[field] = []any{map[string]any{"name": "g", "path": path}}
			}
			return marshal(t, s)
		}
		for _, path := range []string{"/spec", of.spec, of.spec + "/containers", of.spec + "/serviceAccountName", of.spec + "/hostNetwork", of.spec + "/volumes", "/spec/replicas"} {
			_, err := template.Compile(read(t, "site-level", spec("fields", path)))
			require.ErrorContains(t, err, "is not for an action of a site", path)
		}
		for _, path := range []string{"/spec", of.spec, of.spec + "/containers"} {
			_, err := template.Compile(read(t, "site-level", spec("observe", path)))
			require.ErrorContains(t, err, "is not for an action of a site", path)
		}
		_, err := template.Compile(read(t, "site-level", spec("fields", of.spec+"/priorityClassName")))
		require.NoError(t, err)
		_, err = template.Compile(read(t, "site-level", spec("observe", "/spec/replicas")))
		require.NoError(t, err)
	}
	guard := action(t, with(t, "target", `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","resource":"poddisruptionbudgets"}`))
	tier, _ := guard.TierOf(caseOf(guard, `{"level":"debug"}`, `{"level":null,"changes":null,"locked":null}`))
	require.Equal(t, catalogue.High, tier)
}

// Whoever computes it, and however often: the same, byte for byte.
func TestValuesAreTheSameEverywhere(t *testing.T) {
	a := action(t, with(t, "fields", `[{"name":"f","path":"/spec/f","expression":"parameters.labels.map(k, k + parameters.labels[k]) + {'z': 1, 'y': 2, 'x': 3, 'w': 4}.map(k, k)"}]`))
	c := caseOf(a, `{"level":null,"labels":{"e":"1","d":"2","c":"3","b":"4","a":"5"}}`, `{"f":null,"locked":null}`)
	for range 200 {
		require.JSONEq(t, `{"f":["a5","b4","c3","d2","e1","w","x","y","z"]}`, string(a.Predict(c).Want))
	}
}

func TestWhatCostsTooMuchIsRefused(t *testing.T) {
	a := action(t, with(t, "fields", `[{"name":"f","path":"/spec/f","expression":"[1,2,3,4,5,6,7,8,9,10].map(a, [1,2,3,4,5,6,7,8,9,10].map(b, [1,2,3,4,5,6,7,8,9,10].map(c, [1,2,3,4,5,6,7,8,9,10].map(d, [1,2,3,4,5,6,7,8,9,10].map(e, e)))))"}]`))
	c := caseOf(a, `{"level":null}`, `{"f":null,"locked":null}`)
	tier, why := a.TierOf(c)
	require.Equal(t, catalogue.High, tier)
	require.Contains(t, why, "cost limit exceeded")
	first := c
	first.Facts = catalogue.Facts{}
	_, err := a.See(first, []byte(`{"kind":"Widget"}`), nil)
	require.ErrorIs(t, err, catalogue.ErrUnfit)
}

func TestADigestIsOfTheContent(t *testing.T) {
	d := read(t, "site-level", level)
	require.Equal(t, d.Digest(), read(t, "site-level", strings.Join(strings.Fields(level), " ")).Digest(), "however it is written")
	other := read(t, "site-other", level)
	require.NotEqual(t, d.Digest(), other.Digest())
	require.NotEqual(t, d.Digest(), read(t, "site-level", with(t, "summary", `"Set it"`)).Digest())
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	var back template.Definition
	require.NoError(t, json.Unmarshal(raw, &back))
	require.Equal(t, d.Digest(), back.Digest(), "as an order carries it")
}

// No action of the catalogue's own can be taken for one of a site.
func TestTheCatalogueHasNoActionOfASite(t *testing.T) {
	for _, name := range catalogue.Names() {
		require.False(t, strings.HasPrefix(name, catalogue.SitePrefix), name)
	}
}
