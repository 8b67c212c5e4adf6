package hub_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/deploy/hub/hubtest"
)

// handled is what becomes, on the hub, of an object that was let in, for the kinds that decide something by themselves. All kinds
// are read, as the hub reads them: one object that could not be would stop it from seeing any other of the kind.
var handled = map[string]func(t *testing.T, object runtime.Object){"ActionPolicy": judged, "ActionTemplate": asked}

// TestEveryFieldOfEveryKindIsFuzzed puts hostile values into every field of every kind, beginning with an object that passes and
// has the field set. What the API server lets in is handled.
func TestEveryFieldOfEveryKindIsFuzzed(t *testing.T) {
	w := prepared(t)
	kinds, err := hubtest.Kinds(deployhub.CRDs())
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(kinds), 6)
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	for _, kind := range kinds {
		t.Run(kind.Kind, func(t *testing.T) {
			require.True(t, scheme.Recognizes(kind.GroupVersionKind), "the hub does not know the kind")
			f := fuzz{kind: kind, scheme: scheme, submit: func(o *unstructured.Unstructured) error {
				return w.admin.Create(t.Context(), o.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
			}}
			for _, place := range kind.Places("spec") {
				f.place(t, place)
			}
			require.Positive(t, f.passed)
			t.Logf("spec: %d fields: %d refused, %d let in", len(kind.Places("spec")), f.refused, f.passed)
			f.status(t, w)
		})
	}
}

type fuzz struct {
	kind            hubtest.Kind
	scheme          *runtime.Scheme
	submit          hubtest.Submit
	refused, passed int
}

// place puts everything hostile into one place.
func (f *fuzz) place(t *testing.T, place hubtest.Place) {
	t.Helper()
	whole, err := f.kind.Filled("site-fuzzed", place, f.submit)
	if err != nil { // admission keeps some fields for the hub, or for whoever they name
		require.ErrorContains(t, err, "ValidatingAdmissionPolicy", "%s: no object passes in which it is set", place)
	}
	f.values(t, whole, place)
}

func (f *fuzz) values(t *testing.T, whole *unstructured.Unstructured, place hubtest.Place) {
	t.Helper()
	for _, value := range hubtest.Hostile() {
		object, err := f.kind.Put(whole, place, value)
		require.NoError(t, err)
		if err := f.submit(object); err != nil {
			require.Truef(t, apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err), "%s = %#v: %v", place, value, err)
			f.refused++
			continue
		}
		f.passed++
		typed, err := f.scheme.New(f.kind.GroupVersionKind)
		require.NoError(t, err)
		raw, err := json.Marshal(object.Object)
		require.NoError(t, err)
		if err := json.Unmarshal(raw, typed); err != nil {
			// The API server takes an empty list for a time. People's times are held to it by a rule of their own; a status
			// is the hub's to write, and nobody else's.
			require.True(t, place[0] == "status" && f.kind.IsTime(place), "%s = %#v: it passed, and cannot be read: %v", place, value, err)
			continue
		}
		if handle := handled[f.kind.Kind]; handle != nil {
			handle(t, typed)
		}
	}
}

// status does the same to what the hub writes, on an object that is there.
func (f *fuzz) status(t *testing.T, w world) {
	t.Helper()
	places := f.kind.Places("status")
	if len(places) == 0 {
		return
	}
	there, err := f.kind.Filled("site-fuzzed", nil, f.submit)
	require.NoError(t, err)
	require.NoError(t, w.admin.Create(t.Context(), there))
	defer func() { _ = w.admin.Delete(t.Context(), there) }() // other tests look whether there is any; a freeze stays
	f.submit = func(o *unstructured.Unstructured) error {
		return w.admin.Status().Update(t.Context(), o.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	}
	f.refused, f.passed = 0, 0
	for _, place := range places {
		f.values(t, there, place)
	}
	t.Logf("status: %d fields: %d refused, %d let in", len(places), f.refused, f.passed)
}

// judged compiles a policy and asks it what it matches, as far as it matches anything; what does not compile denies.
func judged(t *testing.T, object runtime.Object) {
	t.Helper()
	question := policy.Question{Action: "scale", Cluster: "scale", ClusterLabels: map[string]string{"x": "scale"}, AgentClass: "scale",
		Target:     catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "scale", Name: "checkout"},
		Parameters: []byte(`{"replicas":4}`), Observed: catalogue.Facts{Replicas: 4}, Baseline: 4, Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	set, err := policy.Compile([]v1alpha1.ActionPolicy{*object.(*v1alpha1.ActionPolicy)})
	require.NoError(t, err)
	_, no := set.Judge(question, catalogue.Low, "content")
	_ = set.Limits(question)
	if len(set.Problems()) > 0 {
		require.NotNilf(t, no, "it does not compile, and did not deny: %v", object)
	}
}
