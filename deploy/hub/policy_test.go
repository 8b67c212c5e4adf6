package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// authors writes policies, the platform team those with the mark.
const authors = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: authors}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-policy-author}
subjects: [{kind: User, name: carol}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: platform}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-platform}
subjects: [{kind: User, name: paula}]
`

// everyField is a policy in which every field is set.
const everyField = `
apiVersion: writ.dev/v1alpha1
kind: ActionPolicy
metadata: {name: every-field}
spec:
  effect: Allow
  platform: true
  matchConstraints:
    actions: [scale, "roll*"]
    agentClasses: [healer, ""]
    clusters: ["*"]
    clusterSelector:
      matchLabels: {stage: production}
      matchExpressions: [{key: zone, operator: NotIn, values: [a]}]
    namespaces: [shop, "team-*"]
    kinds: [Deployment]
  variables: [{name: delta, expression: parameters.replicas - observed.replicas}]
  validations: [{expression: variables.delta < 9, message: too many, messageExpression: '"no: " + requester'}]
  allowedResources: [{apiGroups: [apps], resources: [deployments/scale], verbs: [get, patch]}]
  windows: [{schedule: "0 6 * * 1-5", duration: 12h, timeZone: Europe/Berlin}]
  blackouts:
    - {reason: year's end, from: "2026-12-20T00:00:00Z", until: "2027-01-03T00:00:00+01:00"}
    - {reason: batch, schedule: "0 2 * * *", duration: 2h, timeZone: UTC}
  scaling: {minReplicas: 1, maxReplicas: 50, current: {minPercent: 50, maxPercent: 200}, baseline: {minPercent: 10, maxPercent: 300}}
  blastRadius: {maxPodsPercent: 50, maxClustersPercent: 25, honourDisruptionBudgets: true}
  limits: [{name: hourly, per: [AgentClass, Cluster, Namespace, Action, Target], rate: {requests: 10, within: 1h}, concurrent: 2}]
  approvals: 1
  lowerTierTo: low
`

func policyOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &object.Object))
	return object
}

func TestAPolicyThatMeansNothingIsRefused(t *testing.T) {
	w := prepared(t)
	for name, tc := range map[string]struct{ path, value, says string }{
		"no actions":             {"matchConstraints.actions", `[]`, "should have at least 1 items"},
		"a star in the middle":   {"matchConstraints.namespaces", `["a*b"]`, "should match"},
		"no clusters":            {"matchConstraints", `{"actions":["scale"],"namespaces":["shop"]}`, "name clusters, or select them"},
		"six fields":             {"windows", `[{"schedule":"0 0 0 * * *","duration":"1h"}]`, "should match"},
		"an interval":            {"windows", `[{"schedule":"@every 1h xx","duration":"1h"}]`, "should match"},
		"a date that is none":    {"blackouts", `[{"reason":"x","from":"tomorrow","until":"2027-01-01T00:00:00Z"}]`, "should match"},
		"half a blackout":        {"blackouts", `[{"reason":"x","from":"2027-01-01T00:00:00Z"}]`, "from goes with until"},
		"two blackouts in one":   {"blackouts", `[{"reason":"x","from":"2027-01-01T00:00:00Z","until":"2027-01-02T00:00:00Z","schedule":"0 0 * * *","duration":"1h"}]`, "or schedule and duration"},
		"least above most":       {"scaling", `{"minReplicas":5,"maxReplicas":4}`, "minReplicas is above maxReplicas"},
		"a limit of nothing":     {"limits", `[{"name":"x"}]`, "rate, or concurrent"},
		"a limit without a name": {"limits", `[{"concurrent":1}]`, "name"},
		"a limit per nothing":    {"limits", `[{"name":"x","concurrent":1,"per":["Pod"]}]`, "Unsupported value"},
		"two limits of a name":   {"limits", `[{"name":"x","concurrent":1},{"name":"x","concurrent":2}]`, "Duplicate value"},
		"lowered without mark":   {"platform", `false`, "platform must be true"},
		"lowered and raised":     {"minTier", `"high"`, "contradict each other"},
		"restricts and lowers":   {"effect", `"Restrict"`, "cannot lower the tier"},
		"lowered to the top":     {"lowerTierTo", `"high"`, "Unsupported value"},
		"a hundred approvers":    {"approvals", `100`, "less than or equal to 8"},
	} {
		t.Run(name, func(t *testing.T) {
			object := policyOf(t, everyField)
			var value any
			require.NoError(t, json.Unmarshal([]byte(tc.value), &value))
			require.NoError(t, unstructured.SetNestedField(object.Object, value, append([]string{"spec"}, strings.Split(tc.path, ".")...)...))
			require.ErrorContains(t, w.admin.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict)), tc.says)
		})
	}
	w.requireNone(t, "ActionPolicy", "")
}

func TestOnlyThePlatformTeamMarksItsPolicies(t *testing.T) {
	w := prepared(t)
	w.apply(t, authors)
	carol, paula := w.as(t, "carol"), w.as(t, "paula")
	marked, plain := policyOf(t, everyField), policyOf(t, everyField)
	plain.SetName("plain")
	unstructured.RemoveNestedField(plain.Object, "spec", "platform")
	unstructured.RemoveNestedField(plain.Object, "spec", "lowerTierTo")
	const says = `takes the verb "platform"`
	require.EventuallyWithT(t, func(t *assert.CollectT) { // a binding takes effect some time after it is written
		require.NoError(t, paula.Create(context.Background(), marked.DeepCopy(), client.DryRunAll))
		require.NoError(t, carol.Create(context.Background(), plain.DeepCopy(), client.DryRunAll))
	}, 30*time.Second, 100*time.Millisecond)
	require.ErrorContains(t, carol.Create(t.Context(), marked.DeepCopy()), says)
	generated := marked.DeepCopy()
	generated.SetName("")
	generated.SetGenerateName("every-")
	require.ErrorContains(t, carol.Create(t.Context(), generated), says)
	w.requireNone(t, "ActionPolicy", "")

	require.NoError(t, carol.Create(t.Context(), plain))
	require.NoError(t, paula.Create(t.Context(), marked))
	patch := func(c client.Client, name, spec string) error {
		object := policyOf(t, fmt.Sprintf("{apiVersion: writ.dev/v1alpha1, kind: ActionPolicy, metadata: {name: %s}}", name))
		return c.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(`{"spec":`+spec+`}`)))
	}
	require.ErrorContains(t, patch(carol, "plain", `{"platform":true}`), says)
	require.ErrorContains(t, patch(carol, "every-field", `{"platform":null,"lowerTierTo":null}`), says)
	require.ErrorContains(t, patch(carol, "every-field", `{"lowerTierTo":"medium"}`), says)
	require.ErrorContains(t, carol.Delete(t.Context(), marked.DeepCopy()), says)
	require.NoError(t, patch(carol, "plain", `{"approvals":2}`))
	require.NoError(t, patch(paula, "every-field", `{"lowerTierTo":"medium"}`))
	require.NoError(t, paula.Delete(t.Context(), marked))
	require.NoError(t, carol.Delete(t.Context(), plain))
}
