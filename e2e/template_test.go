package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/apply"
)

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

const allowed = `
rules:
  - {actions: [site-set-log-level], namespaces: [shop], maxTier: medium}
`

// An action of a site's own, from its declaration to its undoing: nothing is done before the cluster's admin has allowed that very
// template, and what is done is what was rehearsed and approved.
func TestAnActionOfTheSite(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Bare: true, PerMinute: 100000})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	raw, err := os.ReadFile("../examples/templates/site-set-log-level.yaml")
	require.NoError(t, err)
	var declared v1alpha1.ActionTemplate
	require.NoError(t, yaml.UnmarshalStrict(raw, &declared))
	require.NoError(t, f.Client.Create(ctx, &declared))
	require.NoError(t, f.Client.Create(ctx, &v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "site"}, Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"site-*"}, Clusters: []string{"*"}, Namespaces: []string{fleet.Namespace}}}}))

	require.NoError(t, apply.YAML(ctx, f.Clusters["east"].RESTConfig(), []byte(widgets)))
	widget := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.org/v1", "kind": "Widget",
		"metadata": map[string]any{"namespace": fleet.Namespace, "name": "w"}, "spec": map[string]any{"size": int64(3)}}}
	require.Eventually(t, func() bool { return w.east.Create(ctx, widget) == nil }, time.Minute, 100*time.Millisecond)
	untouched := func() {
		t.Helper()
		now := widget.DeepCopy()
		require.NoError(t, w.east.Get(ctx, client.ObjectKeyFromObject(widget), now))
		require.Equal(t, widget.GetResourceVersion(), now.GetResourceVersion(), "nothing was written")
	}
	ask := func() *v1alpha1.ActionRequest {
		t.Helper()
		r := requestFor("site-set-log-level", "w", `{"level":"debug"}`)
		r.Spec.Target.APIVersion, r.Spec.Target.Kind = "example.org/v1", "Widget"
		require.NoError(t, f.Client.Create(ctx, r))
		return r
	}
	says := func(r *v1alpha1.ActionRequest, words string) bool { return strings.Contains(r.Status.Message, words) }

	done := w.ended(ctx, ask())
	require.Equal(t, string(refusal.TargetNotFound), done.Status.Reason)
	require.True(t, says(done, "this cluster's admin has not allowed site-set-log-level"), done.Status.Message)
	untouched()

	// Another template of that name is another action.
	known, err := declared.Definition()
	require.NoError(t, err)
	other := known
	other.Summary = "Set something"
	allow := func(d template.Definition) {
		t.Helper()
		text, err := yaml.Marshal(map[string]any{"templates": []template.Definition{d}})
		require.NoError(t, err)
		next := filepath.Join(f.Dir, "next.policy.yaml")
		require.NoError(t, os.WriteFile(next, append(text, allowed...), 0o600))
		require.NoError(t, os.Rename(next, filepath.Join(f.Dir, "east.policy.yaml")))
	}
	allow(other)
	require.Eventually(t, func() bool { return says(w.ended(ctx, ask()), "has allowed another site-set-log-level") }, time.Minute, time.Second)
	untouched()

	// Known to the cluster, and without the rights that its admin has not given.
	allow(known)
	require.Eventually(t, func() bool { return says(w.ended(ctx, ask()), "is not allowed there: name it in actions.allowed") }, time.Minute, time.Second)
	untouched()

	manifests, err := deployspoke.Manifests(deployspoke.Options{Namespaces: []string{fleet.Namespace}, Actions: fleet.Actions, Templates: []template.Definition{known}})
	require.NoError(t, err)
	require.NoError(t, apply.YAML(ctx, f.Clusters["east"].RESTConfig(), manifests))
	var r *v1alpha1.ActionRequest
	require.Eventually(t, func() bool { // the rights take effect some time after they are written
		r, err = f.Until(ctx, client.ObjectKeyFromObject(ask()), func(r *v1alpha1.ActionRequest) bool {
			return r.Status.Phase == v1alpha1.PhaseAwaitingApproval || r.Status.Phase.Final()
		})
		return err == nil && r.Status.Phase == v1alpha1.PhaseAwaitingApproval
	}, time.Minute, time.Second)
	require.Equal(t, "medium", r.Status.Tier)
	require.Equal(t, []v1alpha1.FieldChange{{Path: "spec.logging.level", After: `"debug"`}}, onlySpec(r.Status.Diff.Changes))
	untouched()
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	require.NoError(t, fleet.Approve(ctx, sre, r, v1alpha1.Approve))
	done = w.ended(ctx, r)
	require.Equal(t, v1alpha1.PhaseSucceeded, done.Status.Phase, done.Status.Message)
	require.Equal(t, `level none → "debug"`, done.Status.Change)
	now := widget.DeepCopy()
	require.NoError(t, w.east.Get(ctx, client.ObjectKeyFromObject(widget), now))
	require.Equal(t, map[string]any{"size": int64(3), "logging": map[string]any{"level": "debug"}}, now.Object["spec"])

	out, err := f.Writ(ctx, "action", "list", "--site")
	require.NoError(t, err)
	require.Contains(t, out, "Set how much a widget logs")
	out, err = f.Writ(ctx, "action", "describe", known.Name)
	require.NoError(t, err)
	require.Contains(t, out, known.Digest())
	require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Name: known.Name}, &declared))
	require.Equal(t, known.Digest(), declared.Status.Digest)
	require.True(t, meta.IsStatusConditionTrue(declared.Status.Conditions, "Ready"))
	require.JSONEq(t, `{"action":"site-set-log-level","parameters":{"level":null}}`, done.Status.Inverse)

	_, err = f.Writ(ctx, "request", "undo", r.Name)
	require.NoError(t, err)
	var all v1alpha1.ActionRequestList
	require.NoError(t, f.Client.List(ctx, &all))
	undo := slices.IndexFunc(all.Items, func(r v1alpha1.ActionRequest) bool { return strings.HasPrefix(r.Name, "undo-") })
	require.GreaterOrEqual(t, undo, 0)
	waiting, err := f.Until(ctx, client.ObjectKeyFromObject(&all.Items[undo]), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)
	require.NoError(t, fleet.Approve(ctx, sre, waiting, v1alpha1.Approve))
	done = w.ended(ctx, waiting)
	require.Equal(t, v1alpha1.PhaseSucceeded, done.Status.Phase, done.Status.Message)
	require.NoError(t, w.east.Get(ctx, client.ObjectKeyFromObject(widget), now))
	require.Equal(t, map[string]any{"size": int64(3), "logging": map[string]any{}}, now.Object["spec"])
}

// onlySpec leaves out what every change leaves on its object.
func onlySpec(changes []v1alpha1.FieldChange) (of []v1alpha1.FieldChange) {
	for _, c := range changes {
		if strings.HasPrefix(c.Path, "spec.") {
			of = append(of, c)
		}
	}
	return of
}
