package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/deploy/hub/hubtest"
	"github.com/writ-dev/writ/e2e/fleet"
)

// perField bounds how many hostile objects are declared for each field: the hub takes each of them in.
const perField = 4

// What admission lets in, the hub takes in: whatever is in the fields of whatever kind, it does not die, does not stop reading what
// others declare, and answers everybody whom it owes an answer.
func TestTheHubTakesInWhatAdmissionLetsIn(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Bare: true, PerMinute: 1000000})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	kinds, err := hubtest.Kinds(deployhub.CRDs())
	require.NoError(t, err)
	slices.SortStableFunc(kinds, func(a, b hubtest.Kind) int { // freezes last: they stop what the others ask for
		return strings.Compare(fmt.Sprint(a.Kind == "Freeze"), fmt.Sprint(b.Kind == "Freeze"))
	})
	for _, kind := range kinds {
		declared := declareHostile(ctx, t, f.Client, kind)
		t.Logf("%d objects of kind %s", declared, kind.Kind)
		require.GreaterOrEqual(t, declared, len(kind.Places("spec")))
		require.EventuallyWithT(t, func(c *assert.CollectT) { unanswered(ctx, c, f.Client, kind) }, 3*time.Minute, 500*time.Millisecond)
	}
	last := requestFor("exec", "checkout", `{}`)
	require.NoError(t, f.Client.Create(ctx, last))
	refused, err := f.Until(ctx, client.ObjectKeyFromObject(last), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	require.NoError(t, err)
	require.Equal(t, string(refusal.Frozen), refused.Status.Reason, refused.Status.Message)
	log, err := os.ReadFile(f.LogOf("writ-hub"))
	require.NoError(t, err)
	for line := range strings.Lines(string(log)) {
		for _, never := range []string{"panic", "Failed to watch", "failed to list", "Reconciler error"} {
			if strings.Contains(line, never) && !strings.Contains(line, "registration refused") { // that is an answer
				t.Errorf("the hub's log: %s", line)
			}
		}
	}
}

// declareHostile puts what is hostile into every field of a kind, and returns how many of these objects were let in.
func declareHostile(ctx context.Context, t *testing.T, c client.Client, kind hubtest.Kind) (n int) {
	t.Helper()
	try := func(o *unstructured.Unstructured) error {
		return c.Create(ctx, o.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	}
	for _, place := range kind.Places("spec") {
		whole, err := kind.Filled("site-fuzzed", place, try)
		if err != nil {
			continue // it is for the hub alone: see deploy/hub
		}
		left := perField
		for _, value := range append([]any{"as it is"}, hubtest.Hostile()...) {
			object := whole.DeepCopy()
			if value != "as it is" {
				object, err = kind.Put(whole, place, value)
				require.NoError(t, err)
			}
			object.SetName(fmt.Sprintf("site-fuzzed-%d", n))
			if left > 0 && c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict)) == nil {
				left--
				n++
			}
		}
	}
	return n
}

// unanswered fails while an object of a kind has no status that the hub owes it.
func unanswered(ctx context.Context, c *assert.CollectT, from client.Client, kind hubtest.Kind) {
	owed := map[string][]string{"ActionRequest": {"status", "phase"}, "Rollout": {"status", "phase"}, "ActionPolicy": {"status", "conditions"}, "ActionTemplate": {"status", "conditions"}}[kind.Kind]
	if owed == nil {
		return
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersionKind)
	require.NoError(c, from.List(ctx, list))
	for _, object := range list.Items {
		_, found, _ := unstructured.NestedFieldNoCopy(object.Object, owed...)
		require.True(c, found, "%s %s has no answer", kind.Kind, object.GetName())
	}
}
