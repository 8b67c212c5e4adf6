package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/target"
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
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                size: {type: integer, maximum: 10}
                tags: {type: array, items: {type: string}}
                logging: {type: object, properties: {level: {type: string}}}
`

const siteLevel = `
summary: Set the level
target: {apiVersion: example.org/v1, kind: Widget, resource: widgets}
parameters:
  properties:
    level: {type: string, nullable: true}
    size: {type: integer, nullable: true}
  required: [level, size]
observe: [{name: tags, path: /spec/tags}]
fields:
  - {name: level, path: /spec/logging/level, expression: parameters.level}
  - {name: size, path: /spec/size, expression: parameters.size}
  - {name: tag, path: /metadata/labels/example.org~1tag, expression: "observed.tags == null ? null : observed.tags[0]"}
`

// An action of a site's own does on a real API server what it says, with exactly its rules; what the API server does not take is
// refused by its dry run, and what was changed in between is not overwritten.
func TestAnActionOfASiteOnARealCluster(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{})
	w := &walker{admin: worldtest.Client(t, c), config: c.RESTConfig(), namespace: worldtest.Namespace(t, c)}
	var err error
	w.objects, err = dynamic.NewForConfig(w.config)
	require.NoError(t, err)
	require.NoError(t, apply.YAML(t.Context(), w.config, []byte(widgets)))
	client := w.objects.Resource(schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "widgets"}).Namespace(w.namespace)
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.org/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w"}, "spec": map[string]any{"size": int64(3), "tags": []any{"a", "b"}}}}
	worldtest.Eventually(t, "the kind to be served", func(ctx context.Context) error {
		_, err := client.Create(ctx, object, metav1.CreateOptions{})
		return err
	})
	spec, err := yaml.YAMLToJSON([]byte(siteLevel))
	require.NoError(t, err)
	d, err := template.Read("site-level", spec)
	require.NoError(t, err)
	action, err := template.Compile(d)
	require.NoError(t, err)
	w.reader, err = target.New(w.config)
	require.NoError(t, err)

	seen := func() (map[string]any, string) {
		live, err := client.Get(t.Context(), "w", metav1.GetOptions{})
		require.NoError(t, err)
		return live.Object["spec"].(map[string]any), live.GetResourceVersion()
	}
	order := func(id, parameters string) (bundle.Order, catalogue.Case) {
		o := bundle.Order{ID: id, Action: d.Name, Template: &d, Parameters: json.RawMessage(parameters),
			Target: catalogue.Target{APIVersion: "example.org/v1", Kind: "Widget", Namespace: w.namespace, Name: "w"}}
		o.Observed, err = w.reader.LookFor(t.Context(), action, o.Parameters, o.Target)
		require.NoError(t, err)
		o.Target.UID = o.Observed.UID
		_, c, ok := o.Case()
		require.True(t, ok)
		o.Prediction = action.Predict(c)
		return o, c
	}
	o, k := order("site-1", `{"level":"debug","size":4}`)
	require.JSONEq(t, `{"level":null,"size":3,"tag":null,"tags":["a","b"]}`, string(o.Observed.State))
	before, version := seen()
	for _, less := range lessOne(action.Rules(k)) {
		worldtest.Eventually(t, fmt.Sprintf("refusal with no more than %v", less), func(context.Context) error {
			if _, err := w.try(t, action, k, less, true); !apierrors.IsForbidden(err) {
				return fmt.Errorf("it was not forbidden: %w", err)
			}
			return nil
		})
	}
	after, same := seen()
	require.Equal(t, before, after)
	require.Equal(t, version, same, "nothing was written")

	large, kLarge := order("site-large", `{"level":"debug","size":40}`)
	_, err = w.try(t, action, kLarge, action.Rules(kLarge), false)
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	_, same = seen()
	require.Equal(t, version, same, "nothing was written")
	applied, err := w.reader.Applied(t.Context(), large, fieldManager(large))
	require.NoError(t, err)
	require.False(t, applied)

	change, err := w.try(t, action, k, action.Rules(k), false)
	require.NoError(t, err)
	require.Equal(t, `level none → "debug", size 3 → 4, tag none → "a"`, change.Says)
	held, was, err := w.reader.Await(t.Context(), o, time.Now().Add(20*time.Second))
	require.NoError(t, err)
	require.True(t, held, was)
	applied, err = w.reader.Applied(t.Context(), o, fieldManager(o))
	require.NoError(t, err)
	require.True(t, applied)
	drift, err := w.reader.Drift(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, drift)

	_, err = w.try(t, action, k, action.Rules(k), false)
	require.ErrorIs(t, err, catalogue.ErrTargetChanged, "it is not as it was judged any more")
	require.Nil(t, action.Inverse(k), "the label would stay")
	back, kBack := order("site-2", `{"level":null,"size":3}`)
	_, err = w.try(t, action, kBack, action.Rules(kBack), false)
	require.NoError(t, err)
	held, was, err = w.reader.Await(t.Context(), back, time.Now().Add(20*time.Second))
	require.NoError(t, err)
	require.True(t, held, was)
	after, _ = seen()
	require.Equal(t, map[string]any{"size": int64(3), "tags": []any{"a", "b"}, "logging": map[string]any{}}, after)
}
