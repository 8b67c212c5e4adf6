package hub_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// who is who in these tests; requesters may also approve here, so that it is admission that refuses, not RBAC.
const people = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: asks}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-requester}
subjects: [{kind: User, name: alice}, {kind: User, name: "system:serviceaccount:writ-agent-healer:agent"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: approves}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-approver}
subjects: [{kind: User, name: bob}, {kind: User, name: "system:serviceaccount:writ-agent-healer:agent"}, {kind: User, name: "system:serviceaccount:writ-system:writ-hub"}]
`

// world is a hub cluster with all manifests and two agent classes; the class "healer" is bound to more than it should be.
type world struct {
	*cluster.Cluster
	admin client.Client
}

func prepared(t *testing.T) world {
	t.Helper()
	c := worldtest.Cluster(t, cluster.Options{Name: "hub"})
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs(), deployhub.Manifests(),
		deployhub.AgentClass("healer"), deployhub.AgentClass("scaler"), []byte(people)))
	w := world{c, nil}
	w.admin = w.client(t, c.Kubeconfig())
	require.EventuallyWithT(t, func(t *assert.CollectT) { // admission fails closed until it knows the kinds
		require.NoError(t, w.admin.Create(context.Background(), request("default", "probe"), client.DryRunAll))
		require.NoError(t, w.admin.Create(context.Background(), approval("default", "probe"), client.DryRunAll))
	}, 30*time.Second, 100*time.Millisecond)
	return w
}

func (w world) client(t *testing.T, kubeconfig string) client.Client {
	t.Helper()
	config, err := cluster.LoadKubeconfig(kubeconfig)
	require.NoError(t, err)
	c, err := client.New(config, client.Options{})
	require.NoError(t, err)
	return c
}

func (w world) apply(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, apply.YAML(t.Context(), w.RESTConfig(), []byte(text)))
}

func (w world) as(t *testing.T, user string) client.Client {
	t.Helper()
	kubeconfig, err := w.KubeconfigFor(user, nil)
	require.NoError(t, err)
	return w.client(t, kubeconfig)
}

func (w world) agent(t *testing.T, class string) client.Client {
	t.Helper()
	kubeconfig, err := w.KubeconfigForServiceAccount(t.Context(), "writ-agent-"+class, "agent", time.Hour)
	require.NoError(t, err)
	return w.client(t, kubeconfig)
}

// requireNone asserts that nothing of the kind was written to the namespace.
func (w world) requireNone(t *testing.T, kind, namespace string) {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("writ.dev/v1alpha1")
	list.SetKind(kind)
	require.NoError(t, w.admin.List(t.Context(), list, client.InNamespace(namespace)))
	require.Empty(t, list.Items)
}

func object(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "writ.dev/v1alpha1", "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec}}
}

func request(namespace, name string, extra ...any) *unstructured.Unstructured {
	spec := map[string]any{"cluster": "east", "action": "scale", "parameters": map[string]any{"replicas": int64(3)},
		"target": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "checkout"}}
	for i := 0; i+1 < len(extra); i += 2 {
		spec[extra[i].(string)] = extra[i+1]
	}
	return object("ActionRequest", namespace, name, spec)
}

func approval(namespace, name string, extra ...any) *unstructured.Unstructured {
	spec := map[string]any{"request": "r", "orderDigest": "sha256:" + strings.Repeat("0", 64), "verdict": "approve"}
	for i := 0; i+1 < len(extra); i += 2 {
		spec[extra[i].(string)] = extra[i+1]
	}
	return object("Approval", namespace, name, spec)
}

func field(t *testing.T, o *unstructured.Unstructured, name string) string {
	t.Helper()
	value, _, err := unstructured.NestedString(o.Object, "spec", name)
	require.NoError(t, err)
	return value
}

func TestNobodyWritesAnothersName(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	for name, tc := range map[string]struct {
		client           client.Client
		object           *unstructured.Unstructured
		who, as, isClass string
	}{
		"a request":                 {w.as(t, "alice"), request(namespace, "r1"), "requester", "alice", ""},
		"a request, forged":         {w.as(t, "alice"), request(namespace, "r2", "requester", "bob", "agentClass", "healer"), "requester", "alice", ""},
		"an approval":               {w.as(t, "bob"), approval(namespace, "a1"), "approver", "bob", ""},
		"an approval, forged":       {w.as(t, "bob"), approval(namespace, "a2", "approver", "alice"), "approver", "bob", ""},
		"an agent's request":        {w.agent(t, "scaler"), request("writ-agent-scaler", "r3"), "requester", "system:serviceaccount:writ-agent-scaler:agent", "scaler"},
		"another class's, forged":   {w.agent(t, "scaler"), request("writ-agent-scaler", "r4", "agentClass", "healer"), "requester", "system:serviceaccount:writ-agent-scaler:agent", "scaler"},
		"a person's, by an agent":   {w.agent(t, "scaler"), request("writ-agent-scaler", "r5", "requester", "alice", "agentClass", ""), "requester", "system:serviceaccount:writ-agent-scaler:agent", "scaler"},
		"an administrator's, alike": {w.admin, request(namespace, "r6", "requester", "alice"), "requester", "admin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, tc.client.Create(t.Context(), tc.object, client.FieldValidation(metav1.FieldValidationStrict)))
			written := tc.object.DeepCopy()
			require.NoError(t, w.admin.Get(t.Context(), client.ObjectKeyFromObject(tc.object), written))
			require.Equal(t, tc.as, field(t, written, tc.who))
			require.Equal(t, tc.isClass, field(t, written, "agentClass"))
		})
	}
}

// TestTheRuleHoldsWithoutTheStamp takes the mutating policies away: what they would have written must then be right already.
func TestTheRuleHoldsWithoutTheStamp(t *testing.T) {
	w := world{worldtest.Cluster(t, cluster.Options{Name: "unstamped"}), nil}
	var rules []byte
	for _, document := range strings.Split(string(deployhub.Manifests()), "\n---\n") {
		if !strings.Contains(document, "kind: MutatingAdmissionPolicy") {
			rules = append(rules, "\n---\n"+document...)
		}
	}
	require.NoError(t, apply.YAML(t.Context(), w.RESTConfig(), deployhub.CRDs(), rules, []byte(people)))
	w.admin = w.client(t, w.Kubeconfig())
	namespace := worldtest.Namespace(t, w.Cluster)
	alice, bob := w.as(t, "alice"), w.as(t, "bob")
	require.EventuallyWithT(t, func(t *assert.CollectT) { // policies take effect some time after they are written
		require.NoError(t, alice.Create(context.Background(), request(namespace, "probe", "requester", "alice"), client.DryRunAll))
		require.ErrorContains(t, alice.Create(context.Background(), request(namespace, "probe"), client.DryRunAll), "spec.requester is written at admission")
		require.ErrorContains(t, bob.Create(context.Background(), approval(namespace, "probe"), client.DryRunAll), "spec.approver is written at admission")
	}, 30*time.Second, 100*time.Millisecond)
	for name, tc := range map[string]struct {
		client client.Client
		object *unstructured.Unstructured
		says   string
	}{
		"nobody's request":       {alice, request(namespace, "r1"), "spec.requester is written at admission"},
		"another's request":      {alice, request(namespace, "r2", "requester", "bob"), "spec.requester is written at admission"},
		"an agent class's":       {alice, request(namespace, "r3", "requester", "alice", "agentClass", "healer"), "spec.agentClass is written at admission"},
		"nobody's approval":      {bob, approval(namespace, "a1"), "spec.approver is written at admission"},
		"another's approval":     {bob, approval(namespace, "a2", "approver", "alice"), "spec.approver is written at admission"},
		"an administrator's too": {w.admin, approval(namespace, "a3", "approver", "bob"), "spec.approver is written at admission"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, tc.client.Create(t.Context(), tc.object), tc.says)
		})
	}
	w.requireNone(t, "ActionRequest", namespace)
	w.requireNone(t, "Approval", namespace)
}

func TestNeitherAgentNorHubApproves(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	hub, err := w.KubeconfigForServiceAccount(t.Context(), "writ-system", "writ-hub", time.Hour)
	require.NoError(t, err)
	for name, c := range map[string]client.Client{"agent": w.agent(t, "healer"), "hub": w.client(t, hub)} {
		t.Run(name, func(t *testing.T) {
			err := c.Create(t.Context(), approval(namespace, "a1"))
			require.ErrorContains(t, err, "neither an agent nor the hub approves")
		})
	}
	w.requireNone(t, "Approval", namespace)
}

func TestWhatIsSaidStaysSaid(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	asked, approved := request(namespace, "r1"), approval(namespace, "a1")
	require.NoError(t, w.as(t, "alice").Create(t.Context(), asked))
	require.NoError(t, w.as(t, "bob").Create(t.Context(), approved))
	for name, tc := range map[string]struct {
		object *unstructured.Unstructured
		patch  string
	}{
		"parameters":           {asked, `{"spec":{"parameters":{"replicas":30}}}`},
		"a parameter more":     {asked, `{"spec":{"parameters":{"force":true}}}`},
		"parameters taken out": {asked, `{"spec":{"parameters":null}}`},
		"target":               {asked, `{"spec":{"target":{"name":"billing"}}}`},
		"requester":            {asked, `{"spec":{"requester":"bob"}}`},
		"requester taken out":  {asked, `{"spec":{"requester":null}}`},
		"verdict":              {approved, `{"spec":{"verdict":"deny"}}`},
		"digest":               {approved, `{"spec":{"orderDigest":"sha256:` + strings.Repeat("1", 64) + `"}}`},
		"approver":             {approved, `{"spec":{"approver":"alice"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.object.DeepCopy()
			err := w.admin.Patch(t.Context(), tc.object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(tc.patch)))
			require.ErrorContains(t, err, "cannot be changed; create another")
			require.NoError(t, w.admin.Get(t.Context(), client.ObjectKeyFromObject(before), before))
			require.Equal(t, tc.object.Object["spec"], before.Object["spec"])
		})
	}
}

func TestWhatIsUnknownIsRefused(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	for name, tc := range map[string]struct {
		object *unstructured.Unstructured
		says   string
	}{
		"field of a request":   {request(namespace, "r1", "force", true), `unknown field "spec.force"`},
		"field of an approval": {approval(namespace, "a1", "quorum", int64(1)), `unknown field "spec.quorum"`},
		"verdict":              {approval(namespace, "a2", "verdict", "maybe"), "spec.verdict"},
		"digest":               {approval(namespace, "a3", "orderDigest", "sha256:x"), "spec.orderDigest"},
		"parameters no object": {request(namespace, "r2", "parameters", "replicas=3"), "spec.parameters"},
		"no cluster":           {request(namespace, "r3", "cluster", ""), "spec.cluster"},
		"cluster's name":       {object("Cluster", "", "East.1", map[string]any{"join": map[string]any{"sha256": strings.Repeat("0", 64), "issuedAt": "2026-01-01T00:00:00Z"}}), "East.1"},
		"a dot in it":          {object("Cluster", "", "east.1", map[string]any{"join": map[string]any{"sha256": strings.Repeat("0", 64), "issuedAt": "2026-01-01T00:00:00Z"}}), "becomes part of an identity"},
		"a token, not a hash":  {object("Cluster", "", "east", map[string]any{"join": map[string]any{"sha256": "secret", "issuedAt": "2026-01-01T00:00:00Z"}}), "spec.join.sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, w.admin.Create(t.Context(), tc.object, client.FieldValidation(metav1.FieldValidationStrict)), tc.says)
		})
	}
	w.requireNone(t, "ActionRequest", namespace)
	w.requireNone(t, "Approval", namespace)
	w.requireNone(t, "Cluster", "")
}

func TestAnAgentCreatesRequestsAndNothingElse(t *testing.T) {
	w := prepared(t)
	agent := w.agent(t, "scaler")
	own := request("writ-agent-scaler", "own")
	require.NoError(t, agent.Create(t.Context(), own))
	secret := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "writ-agent-scaler", Name: "c"}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`))
	for name, do := range map[string]func(context.Context) error{
		"ask elsewhere":  func(ctx context.Context) error { return agent.Create(ctx, request("default", "r1")) },
		"ask as another": func(ctx context.Context) error { return agent.Create(ctx, request("writ-agent-healer", "r1")) },
		"read its own": func(ctx context.Context) error {
			return agent.Get(ctx, client.ObjectKeyFromObject(own), own.DeepCopy())
		},
		"write a status":    func(ctx context.Context) error { return agent.Status().Patch(ctx, own.DeepCopy(), patch) },
		"delete":            func(ctx context.Context) error { return agent.Delete(ctx, own.DeepCopy()) },
		"approve":           func(ctx context.Context) error { return agent.Create(ctx, approval("writ-agent-scaler", "a1")) },
		"write a ConfigMap": func(ctx context.Context) error { return agent.Create(ctx, secret.DeepCopy()) },
		"read how to join": func(ctx context.Context) error {
			return agent.Get(ctx, client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &corev1.ConfigMap{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := do(t.Context())
			require.True(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
	w.requireNone(t, "ActionRequest", "default")
	w.requireNone(t, "Approval", "writ-agent-scaler")
	everybody := w.rights(t, "writ-agent-scaler", "system:serviceaccount:default:nobody")
	rights := slices.DeleteFunc(w.rights(t, "writ-agent-scaler", "system:serviceaccount:writ-agent-scaler:agent"),
		func(right string) bool { return slices.Contains(everybody, right) })
	require.Equal(t, []string{"create actionrequests.writ.dev"}, rights)
}

// rights are what RBAC lets a ServiceAccount do in a namespace.
func (w world) rights(t *testing.T, namespace, user string) []string {
	t.Helper()
	config := w.RESTConfig()
	config.Impersonate.UserName = user
	config.Impersonate.Groups = []string{"system:serviceaccounts", "system:authenticated"}
	c, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	review, err := c.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	var rights []string
	for _, rule := range review.Status.ResourceRules {
		for _, resource := range rule.Resources {
			rights = append(rights, strings.Join(rule.Verbs, ",")+" "+resource+"."+strings.Join(rule.APIGroups, ","))
		}
	}
	return rights
}
