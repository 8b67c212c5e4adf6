package target

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
)

func TestLastHealthy(t *testing.T) {
	revisions := func(numbers ...int64) (all []revision) {
		for _, n := range numbers {
			r := revision{Revision: n}
			all = append(all, r)
		}
		return all
	}
	cases := []struct {
		name    string
		history []revision
		current int64
		healthy int64 // known to be; 0 where none is
		want    int64
	}{
		{"none", nil, 1, 0, 0},
		{"only the current", revisions(3), 3, 0, 0},
		{"one before", revisions(1, 2), 2, 0, 1},
		{"two broken, the first still serves", revisions(1, 2, 3), 3, 1, 1},
		{"highest below where none serves", revisions(5, 1, 3), 5, 0, 3},
		{"numberless is none", revisions(0, 2), 2, 0, 0},
		{"the current does not count", revisions(1, 2), 2, 2, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := lastHealthy(c.history, c.current, func(r revision) bool { return c.healthy != 0 && r.Revision == c.healthy })
			require.Equal(t, c.want, got)
		})
	}
}

func TestLeastAllowed(t *testing.T) {
	budget := func(selector *metav1.LabelSelector, allowed int32, generation, observed int64) disruptionBudget {
		b := disruptionBudget{}
		b.Generation, b.Spec.Selector = generation, selector
		b.Status.DisruptionsAllowed, b.Status.ObservedGeneration = allowed, observed
		return b
	}
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	cases := []struct {
		name    string
		budgets []disruptionBudget
		want    any
	}{
		{"none", nil, nil},
		{"of other pods", []disruptionBudget{budget(&metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, 0, 1, 1)}, nil},
		{"no selector selects nothing", []disruptionBudget{budget(nil, 0, 1, 1)}, nil},
		{"empty selector selects all", []disruptionBudget{budget(&metav1.LabelSelector{}, 2, 1, 1)}, int32(2)},
		{"the least counts", []disruptionBudget{budget(web, 3, 1, 1), budget(web, 1, 1, 1), budget(web, 2, 1, 1)}, int32(1)},
		{"unobserved allows nothing", []disruptionBudget{budget(web, 3, 2, 1)}, int32(0)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := leastAllowed(c.budgets, map[string]string{"app": "web"})
			require.NoError(t, err)
			if c.want == nil {
				require.Nil(t, got)
				return
			}
			require.Equal(t, c.want, *got)
		})
	}
}

func TestProtectedAndManagedBy(t *testing.T) {
	cases := []struct {
		name        string
		namespace   string
		labels      map[string]string
		annotations map[string]string
		protected   bool
		managedBy   string
	}{
		{"plain", "shop", nil, nil, false, ""},
		{"labelled", "shop", map[string]string{"writ.dev/protected": "true"}, nil, true, ""},
		{"labelled, misspelt", "shop", map[string]string{"writ.dev/protected": "yes"}, nil, true, ""},
		{"labelled false", "shop", map[string]string{"writ.dev/protected": "false"}, nil, false, ""},
		{"kube-system", "kube-system", map[string]string{"writ.dev/protected": "false"}, nil, true, ""},
		{"Writ's own", "writ-actions", nil, nil, true, ""},
		{"Helm", "shop", map[string]string{"app.kubernetes.io/managed-by": "Helm"}, nil, false, "Helm"},
		{"Flux by Helm", "shop", map[string]string{"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": "x"}, nil, false, "flux"},
		{"Flux by kustomize", "shop", map[string]string{"kustomize.toolkit.fluxcd.io/name": "x"}, nil, false, "flux"},
		{"Argo CD", "shop", nil, map[string]string{"argocd.argoproj.io/tracking-id": "x"}, false, "argocd"},
		{"Helm, by its annotation", "shop", nil, map[string]string{"meta.helm.sh/release-name": "x"}, false, "Helm"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := &workload{kind: catalogue.Deployment}
			w.Namespace, w.Labels, w.Annotations = c.namespace, c.labels, c.annotations
			require.Equal(t, c.protected, w.facts().Protected)
			require.Equal(t, c.managedBy, w.facts().ManagedBy)
		})
	}
}

// A pod has the labels of its template, but it is its controller's.
func TestWhatAControllerMadeIsNotGitOps(t *testing.T) {
	w := &workload{kind: catalogue.Pod}
	w.Namespace, w.Labels = "shop", map[string]string{"app.kubernetes.io/managed-by": "Helm"}
	require.Equal(t, "Helm", w.facts().ManagedBy)
	is := true
	w.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "x", Controller: &is}}
	require.Empty(t, w.facts().ManagedBy)
}

func TestWhatCannotBeAskedForIsNotFound(t *testing.T) {
	r := &Reader{} // it has no client: nothing may be asked of the API server
	for name, target := range map[string]catalogue.Target{
		"secret":         {APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "x"},
		"other version":  {APIVersion: "apps/v1beta1", Kind: "Deployment", Namespace: "shop", Name: "x"},
		"no name":        {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop"},
		"no namespace":   {APIVersion: "apps/v1", Kind: "Deployment", Name: "x"},
		"path":           {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "../secrets"},
		"path namespace": {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "..", Name: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Facts(t.Context(), target)
			require.ErrorIs(t, err, ErrNotFound)
			_, err = r.Applied(t.Context(), bundle.Order{Action: "scale", Target: target}, "x")
			require.ErrorIs(t, err, ErrNotFound)
		})
	}
}
