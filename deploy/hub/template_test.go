package hub_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// everyFieldOfATemplate is one in which every field is set.
const everyFieldOfATemplate = `
apiVersion: writ.dev/v1alpha1
kind: ActionTemplate
metadata: {name: site-every-field}
spec:
  summary: Set everything
  target: {apiVersion: example.org/v1, kind: Widget, resource: widgets}
  parameters:
    properties:
      text: {type: string, description: a text, nullable: true, enum: [a, b], pattern: "^[ab]$", minLength: 1, maxLength: 1}
      number: {type: integer, minimum: 1, maximum: 9}
      list: {type: array, items: {type: string, description: one, nullable: false, enum: [x], pattern: x, minLength: 1, maxLength: 9}, maxItems: 3}
      map: {type: object, additionalProperties: {type: number, minimum: 0, maximum: 1}, maxProperties: 3}
    required: [text]
  observe: [{name: size, path: /spec/size}]
  validations: [{expression: observed.size != 3, message: not three}]
  fields:
    - {name: text, path: /spec/text, expression: parameters.text}
    - {name: label, path: /metadata/labels/example.org~1size, expression: "string(parameters.?number.orValue(1))"}
  inverse: {text: observed.text}
  minTier: high
  withinSeconds: 30
`

// asked compiles a template, and asks its action whatever a judge would. What does not compile can be asked for by nobody.
func asked(t *testing.T, object runtime.Object) {
	t.Helper()
	d, err := object.(*v1alpha1.ActionTemplate).Definition()
	require.NoError(t, err, "orders cannot carry it")
	action, err := template.Compile(d)
	if err != nil {
		return
	}
	kind := action.Kinds[0]
	c := catalogue.Case{Kind: kind, Parameters: json.RawMessage(`{"x":"a"}`),
		Target: catalogue.Target{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: "shop", Name: "w", UID: "u1"}}
	for _, seen := range []string{`{"kind":"` + kind.Kind + `"}`, `{"kind":"` + kind.Kind + `","spec":{"x":[]}}`, `[]`, `{"kind":"` + kind.Kind + `","spec":[]}`} {
		state, err := action.See(c, []byte(seen), nil)
		if err != nil {
			continue
		}
		c := c
		c.Facts = catalogue.Facts{UID: "u1", State: state}
		tier, _ := action.TierOf(c)
		require.True(t, tier.AtLeast(catalogue.Medium))
		for _, rule := range action.Rules(c) {
			require.Equal(t, []string{"w"}, rule.ResourceNames)
			require.Equal(t, []string{"get", "patch"}, rule.Verbs)
		}
		_, _ = action.Predict(c), action.Inverse(c)
	}
}

func TestATemplateThatMeansNothingIsRefused(t *testing.T) {
	w := prepared(t)
	for name, tc := range map[string]struct{ path, value, says string }{
		"no fields":                    {"fields", `[]`, "should have at least 1 items"},
		"a field twice":                {"fields", `[{"name":"a","path":"/spec/a","expression":"1"},{"name":"a","path":"/spec/b","expression":"1"}]`, "Duplicate value"},
		"a path that is none":          {"fields", `[{"name":"a","path":"spec.a","expression":"1"}]`, "should match"},
		"a name that nobody can say":   {"fields", `[{"name":"a-b","path":"/spec/a","expression":"1"}]`, "should match"},
		"a subresource":                {"target", `{"apiVersion":"example.org/v1","kind":"Widget","resource":"widgets/status"}`, "should match"},
		"tier low":                     {"minTier", `"low"`, "Unsupported value"},
		"a schema within a schema":     {"parameters", `{"properties":{"x":{"type":"array","items":{"type":"array"}}}}`, "Unsupported value"},
		"an unknown keyword":           {"parameters", `{"properties":{"x":{"type":"string","format":"date"}}}`, "unknown field"},
		"an empty summary":             {"summary", `""`, "should be at least 1 chars long"},
		"more than an hour":            {"withinSeconds", `3601`, "should be less than or equal to 3600"},
		"the whole object as a place":  {"observe", `[{"name":"all","path":"/"}]`, "should match"},
		"an expression beyond measure": {"validations", `[{"expression":"` + strings.Repeat("!", 5000) + `true"}]`, "Too long"},
	} {
		t.Run(name, func(t *testing.T) {
			object := policyOf(t, everyFieldOfATemplate)
			var value any
			require.NoError(t, json.Unmarshal([]byte(tc.value), &value))
			require.NoError(t, unstructured.SetNestedField(object.Object, value, "spec", tc.path))
			require.ErrorContains(t, w.admin.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict)), tc.says)
		})
	}
	for _, name := range []string{"scale", "site-", "other-x", "site-" + strings.Repeat("a", 60)} {
		object := policyOf(t, everyFieldOfATemplate)
		object.SetName(name)
		require.ErrorContains(t, w.admin.Create(t.Context(), object), "the name begins with site-")
	}
	w.requireNone(t, "ActionTemplate", "")
}

func TestOnlyAuthorsWriteTemplates(t *testing.T) {
	w := prepared(t)
	w.apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: template-authors}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-template-author}
subjects: [{kind: User, name: tess}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: template-readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-policy-author}
subjects: [{kind: User, name: rita}]
`)
	tess, rita := w.as(t, "tess"), w.as(t, "rita")
	object := policyOf(t, everyFieldOfATemplate)
	readable := &unstructured.UnstructuredList{}
	readable.SetAPIVersion("writ.dev/v1alpha1")
	readable.SetKind("ActionTemplate")
	require.Eventually(t, func() bool {
		return tess.Create(t.Context(), object.DeepCopy(), client.DryRunAll) == nil && rita.List(t.Context(), readable) == nil
	}, 30*time.Second, 100*time.Millisecond)
	require.True(t, apierrors.IsForbidden(rita.Create(t.Context(), object.DeepCopy())))
	w.requireNone(t, "ActionTemplate", "")
	require.NoError(t, tess.Create(t.Context(), object))
	require.NoError(t, tess.Delete(t.Context(), object))
}
