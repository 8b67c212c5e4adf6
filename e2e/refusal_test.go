package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/apply"
)

// A policy that does not compile is refused where it is written, once an administrator has put up the guard; without the guard
// it says so, and denies.
func TestAPolicyThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	broken := func(name string) *v1alpha1.ActionPolicy {
		return &v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ActionPolicySpec{
			MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"scale"}, Clusters: []string{"*"}, Namespaces: []string{"nowhere"}},
			Validations:      []v1alpha1.PolicyValidation{{Expression: "parameters."}}}}
	}
	const says = "validations[0].expression: 1:12"
	unguarded := broken("unguarded")
	require.NoError(t, f.Client.Create(ctx, unguarded))
	require.Eventually(t, func() bool {
		if f.Client.Get(ctx, client.ObjectKeyFromObject(unguarded), unguarded) != nil {
			return false
		}
		ready := meta.FindStatusCondition(unguarded.Status.Conditions, "Ready")
		return ready != nil && ready.Status == metav1.ConditionFalse && strings.Contains(ready.Message, says)
	}, 20*time.Second, 50*time.Millisecond)
	guard, err := f.Writ(ctx, "policy", "guard")
	require.NoError(t, err)
	require.NoError(t, apply.YAML(ctx, f.Hub.RESTConfig(), []byte(guard)))
	require.Eventually(t, func() bool {
		err := f.Client.Create(ctx, broken("guarded"), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), says)
	}, 20*time.Second, 50*time.Millisecond)
	require.ErrorContains(t, f.Client.Create(ctx, broken("guarded")), says)
	require.True(t, apierrors.IsNotFound(f.Client.Get(ctx, client.ObjectKey{Name: "guarded"}, &v1alpha1.ActionPolicy{})))
}

// What nobody may ask for is refused with its reason, wherever it enters, and reaches no workload.
func TestBadInput(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	before := w.create(ctx, "checkout")
	elsewhere := fleet.Deployment("checkout", 3)
	elsewhere.Namespace = "default"
	require.NoError(t, w.east.Create(ctx, elsewhere))

	for name, tc := range map[string]struct {
		action, parameters string
		change             func(*v1alpha1.ActionRequestSpec)
		reason             refusal.Reason
		says               string
	}{
		"unknown action":      {action: "exec", reason: refusal.ActionUnknown},
		"negative":            {parameters: `{"replicas":-1}`, reason: refusal.ParametersInvalid},
		"not a number":        {parameters: `{"replicas":"many"}`, reason: refusal.ParametersInvalid},
		"unknown parameter":   {parameters: `{"replicas":4,"force":true}`, reason: refusal.ParametersInvalid},
		"parameter missing":   {parameters: `{}`, reason: refusal.ParametersInvalid},
		"unknown cluster":     {change: func(s *v1alpha1.ActionRequestSpec) { s.Cluster = "south" }, reason: refusal.ClusterUnknown},
		"kind not allowed":    {change: func(s *v1alpha1.ActionRequestSpec) { s.Target.Kind = "Secret" }, reason: refusal.TargetKindNotAllowed},
		"target is not there": {change: func(s *v1alpha1.ActionRequestSpec) { s.Target.Name = "chekout" }, reason: refusal.TargetNotFound},
		"name of a path":      {change: func(s *v1alpha1.ActionRequestSpec) { s.Target.Name = "../../secrets/x" }, reason: refusal.TargetNotFound},
		"no policy":           {change: func(s *v1alpha1.ActionRequestSpec) { s.Target.Namespace = "default" }, reason: refusal.NoPolicy},
		"not allowed in the cluster": {action: "adjust-quota", parameters: `{"hard":{"pods":"9"}}`, change: func(s *v1alpha1.ActionRequestSpec) {
			s.Target = v1alpha1.Target{APIVersion: "v1", Kind: "ResourceQuota", Namespace: fleet.Namespace, Name: "checkout"}
		}, reason: refusal.TargetNotFound, says: "adjust-quota is not allowed there"},
		"beyond the policy": {parameters: `{"replicas":21}`, reason: refusal.PolicyDenied},
	} {
		t.Run(name, func(t *testing.T) {
			w := &workloads{t, f, w.east}
			r := requestFor("scale", "checkout", `{"replicas":4}`)
			if tc.action != "" {
				r.Spec.Action = tc.action
			}
			if tc.parameters != "" {
				r.Spec.Parameters.Raw = []byte(tc.parameters)
			}
			if tc.change != nil {
				tc.change(&r.Spec)
			}
			require.NoError(t, f.Client.Create(ctx, r))
			require.Contains(t, w.refused(ctx, r, tc.reason, before).Status.Message, tc.says)
			w.untouched(ctx, elsewhere)
		})
	}
	t.Run("unknown field", func(t *testing.T) { unknownField(ctx, t, f) })
	t.Run("forged names", func(t *testing.T) { forgedNames(ctx, t, f) })
	t.Run("own approval", func(t *testing.T) { ownApproval(ctx, t, &workloads{t, f, w.east}) })
	t.Run("an agent's account", func(t *testing.T) { agentsAccount(ctx, t, f) })

	w.succeeded(ctx, w.scale(ctx, "checkout", 4), before)
	clean(ctx, t, f)
}

// unknownField is refused by the API server, and by the CLI before it asks.
func unknownField(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	typo := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "writ.dev/v1alpha1", "kind": "ActionRequest",
		"metadata": map[string]any{"namespace": "default", "name": "typo"},
		"spec": map[string]any{"cluster": "east", "action": "scale", "parameter": map[string]any{"replicas": int64(4)},
			"target": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": fleet.Namespace, "name": "checkout"}}}}
	err := f.Client.Create(ctx, typo, client.FieldValidation(metav1.FieldValidationStrict))
	require.ErrorContains(t, err, `unknown field "spec.parameter"`)
	raw, err := typo.MarshalJSON()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "request.json")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	out, err := f.Writ(ctx, "request", "create", "-f", file)
	require.Error(t, err)
	require.Contains(t, out, `unknown field "spec.parameter"`)
	require.True(t, apierrors.IsNotFound(f.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: "typo"}, &v1alpha1.ActionRequest{})))
}

// forgedNames do not stay: the API server writes down who asks and who approves.
func forgedNames(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	dev, err := f.As("dev", "developers")
	require.NoError(t, err)
	r := requestFor("scale", "checkout", `{"replicas":6}`)
	r.Spec.Requester, r.Spec.AgentClass = "boss", fleet.AgentClass
	require.NoError(t, dev.Create(ctx, r))
	require.Equal(t, "dev", r.Spec.Requester)
	require.Empty(t, r.Spec.AgentClass)
	waiting, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)

	require.True(t, apierrors.IsForbidden(fleet.Approve(ctx, dev, waiting, v1alpha1.Approve)), "who asks may not approve")
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	word := &v1alpha1.Approval{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: "forged-"},
		Spec: v1alpha1.ApprovalSpec{Request: r.Name, OrderDigest: waiting.Status.OrderDigest, Verdict: v1alpha1.Deny, Approver: "boss", Reason: "not today"}}
	require.NoError(t, sre.Create(ctx, word))
	require.Equal(t, "sam", word.Spec.Approver)
	require.True(t, apierrors.IsForbidden(sre.Create(ctx, requestFor("scale", "checkout", `{"replicas":4}`))), "who approves may not ask")

	done, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseRefused))
	require.NoError(t, err)
	require.Equal(t, string(refusal.Denied), done.Status.Reason)
	require.Contains(t, done.Status.Message, "sam: not today")
	told(ctx, t, f, done, string(refusal.Denied))
}

// ownApproval is heard, named, and does not count; nor does one of another order.
func ownApproval(ctx context.Context, t *testing.T, w *workloads) {
	before := w.create(ctx, "own")
	dana, err := w.f.As("dana", "developers", "sre")
	require.NoError(t, err)
	r := requestFor("scale", "own", `{"replicas":6}`)
	require.NoError(t, dana.Create(ctx, r))
	waiting, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)
	require.NoError(t, fleet.Approve(ctx, dana, waiting, v1alpha1.Approve))
	_, err = w.f.Until(ctx, client.ObjectKeyFromObject(r), says("nobody approves their own request"))
	require.NoError(t, err)
	sam, err := w.f.As("sam", "sre")
	require.NoError(t, err)
	other := waiting.DeepCopy()
	other.Status.OrderDigest = "sha256:" + strings.Repeat("0", 64)
	require.NoError(t, fleet.Approve(ctx, sam, other, v1alpha1.Approve))
	_, err = w.f.Until(ctx, client.ObjectKeyFromObject(r), says("sam approved another order"))
	require.NoError(t, err)
	w.untouched(ctx, before)
	require.NoError(t, fleet.Approve(ctx, sam, waiting, v1alpha1.Approve))
	w.succeeded(ctx, r, before)
}

func says(words string) func(*v1alpha1.ActionRequest) bool {
	return func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseAwaitingApproval && strings.Contains(r.Status.Message, words)
	}
}

// agentsAccount may propose, in its own namespace and under its own class, and nothing else.
func agentsAccount(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	agent, own, err := f.Agent(ctx)
	require.NoError(t, err)
	proposal := requestFor("exec", "checkout", `{}`)
	proposal.Namespace, proposal.Spec.AgentClass = own, "trusted"
	require.NoError(t, agent.Create(ctx, proposal))
	require.Equal(t, fleet.AgentClass, proposal.Spec.AgentClass)

	meta := metav1.ObjectMeta{Namespace: own, Name: "x"}
	changed := proposal.DeepCopy()
	changed.Status.Phase = v1alpha1.PhaseSucceeded
	for what, err := range map[string]error{
		"a request in another namespace": agent.Create(ctx, requestFor("scale", "checkout", `{"replicas":4}`)),
		"an approval": agent.Create(ctx, &v1alpha1.Approval{ObjectMeta: meta, Spec: v1alpha1.ApprovalSpec{Request: proposal.Name,
			OrderDigest: "sha256:0", Verdict: v1alpha1.Approve}}),
		"a policy":         agent.Create(ctx, &v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "x"}}),
		"a cluster":        agent.Create(ctx, &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "x"}}),
		"a status":         agent.Status().Update(ctx, changed),
		"another spec":     agent.Update(ctx, changed),
		"deleting":         agent.Delete(ctx, proposal),
		"reading requests": agent.List(ctx, &v1alpha1.ActionRequestList{}),
		"reading clusters": agent.List(ctx, &v1alpha1.ClusterList{}),
		"reading secrets":  agent.List(ctx, &corev1.SecretList{}, client.InNamespace("writ-system")),
		"reading a config": agent.Get(ctx, client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &corev1.ConfigMap{}),
		"a role for itself": agent.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}),
	} {
		require.True(t, apierrors.IsForbidden(err), "%s: %v", what, err)
	}
	done, err := f.Until(ctx, client.ObjectKeyFromObject(proposal), fleet.Phase(v1alpha1.PhaseRefused))
	require.NoError(t, err)
	require.Equal(t, string(refusal.ActionUnknown), done.Status.Reason)
}
