package hub_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// walkers are who the rows of the table are on this API server.
var walkers = map[string]authorizationv1.SubjectAccessReviewSpec{
	"nobody's role":  {User: "walk-nobody"},
	"an agent class": {User: "system:serviceaccount:writ-agent-healer:agent", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:writ-agent-healer"}},
	"the hub":        {User: "system:serviceaccount:writ-system:writ-hub", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:writ-system"}},
}

// Every cell of the table in docs/authorisation.md is asked of the API server: what is written is allowed, and nothing else is.
func TestTheAuthorisationTableIsWhatTheAPIServerSays(t *testing.T) {
	w := worldtest.Cluster(t, cluster.Options{Name: "walked"}) // where nobody has more than these manifests give
	require.NoError(t, apply.YAML(t.Context(), w.RESTConfig(), deployhub.CRDs(), deployhub.Manifests(), deployhub.AgentClass("healer"), deployhub.AgentClass("scaler")))
	ask := worldtest.Client(t, w)
	kinds, rows := authorisations(t)
	require.ElementsMatch(t, defined(t), kinds, "every kind has a column")
	for who, row := range rows {
		subject, known := walkers[who]
		if !known {
			require.True(t, strings.HasPrefix(who, "writ-"), "%s is no role", who)
			subject.User = "walk-" + who
			binding := fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: %s}\n"+
				"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %s}\nsubjects: [{kind: User, name: %[1]s}]\n", subject.User, who)
			require.NoError(t, apply.YAML(t.Context(), w.RESTConfig(), []byte(binding)))
			require.Eventually(t, func() bool { // the authorizer learns of it by a watch
				return slices.ContainsFunc(kinds, func(kind string) bool {
					return may(t, ask, subject, "get", kind, "", "writ-agent-healer") || may(t, ask, subject, "create", kind, "", "writ-agent-healer")
				})
			}, 20e9, 50e6)
		}
		for _, kind := range kinds {
			for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "platform", "operate"} {
				require.Equal(t, slices.Contains(row[kind], verb), may(t, ask, subject, verb, kind, "", "writ-agent-healer"), "%s: %s %s", who, verb, kind)
				if who == "an agent class" {
					require.False(t, may(t, ask, subject, verb, kind, "", "writ-agent-scaler"), "%s %s of another class", verb, kind)
				}
			}
			for _, verb := range []string{"get", "update", "patch"} {
				require.Equal(t, verb == "patch" && slices.Contains(row["status"], kind), may(t, ask, subject, verb, kind, "status", "writ-agent-healer"), "%s: %s %s/status", who, verb, kind)
			}
		}
	}
}

func may(t *testing.T, ask *kubernetes.Clientset, who authorizationv1.SubjectAccessReviewSpec, verb, kind, sub, namespace string) bool {
	t.Helper()
	who.ResourceAttributes = &authorizationv1.ResourceAttributes{Group: "writ.dev", Version: "v1alpha1", Resource: kind, Subresource: sub, Verb: verb, Namespace: namespace}
	review, err := ask.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: who}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}

// defined are the kinds of the CRDs, as resources.
func defined(t *testing.T) (kinds []string) {
	t.Helper()
	objects, err := apply.Parse(deployhub.CRDs())
	require.NoError(t, err)
	for _, object := range objects {
		kind, _, _ := strings.Cut(object.GetName(), ".")
		kinds = append(kinds, kind)
	}
	return kinds
}

// authorisations reads the table of verbs: by who and kind the verbs, and under "status" the kinds whose status may be patched.
func authorisations(t *testing.T) (kinds []string, rows map[string]map[string][]string) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/authorisation.md")
	require.NoError(t, err)
	rows = map[string]map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		cells := cellsOf(line)
		switch {
		case len(cells) > 0 && cells[0] == "who":
			kinds = cells[1 : len(cells)-1]
			require.Equal(t, "status", cells[len(cells)-1])
		case kinds == nil || len(cells) != len(kinds)+2 || strings.HasPrefix(cells[0], "-"):
		default:
			row := map[string][]string{}
			for i, kind := range kinds {
				row[kind] = verbsOf(cells[i+1])
			}
			row["status"] = verbsOf(strings.TrimPrefix(cells[len(cells)-1], "patch "))
			rows[cells[0]] = row
		}
	}
	require.Greater(t, len(rows), 8, "the table of docs/authorisation.md was not found")
	return kinds, rows
}

func cellsOf(line string) (cells []string) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	return cells
}

func verbsOf(cell string) (verbs []string) {
	for _, verb := range strings.Split(cell, ", ") {
		switch verb {
		case "":
		case "read":
			verbs = append(verbs, "get", "list", "watch")
		default:
			verbs = append(verbs, verb)
		}
	}
	return verbs
}
