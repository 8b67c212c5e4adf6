package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

func allow(name string, change func(*v1alpha1.ActionPolicySpec)) v1alpha1.ActionPolicy {
	p := v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ActionPolicySpec{
		Match: v1alpha1.PolicyMatch{Actions: []string{"scale"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

func expression(expression, message string) func(*v1alpha1.ActionPolicySpec) {
	return func(s *v1alpha1.ActionPolicySpec) {
		s.Validations = []v1alpha1.PolicyValidation{{Expression: expression, Message: message}}
	}
}

var question = policy.Question{Action: "scale", Cluster: "east", AgentClass: "healer", Requester: "alice",
	Target:     catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"},
	Parameters: []byte(`{"replicas":4}`), Observed: catalogue.Facts{Replicas: 3}}

func TestVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		policies []v1alpha1.ActionPolicy
		reason   refusal.Reason // empty: allowed
		tier     catalogue.Tier
		says     string
	}{
		"no policy at all":     {nil, refusal.NoPolicy, "", "ActionPolicy"},
		"allowed":              {[]v1alpha1.ActionPolicy{allow("a", nil)}, "", catalogue.Low, ""},
		"another action":       {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.Match.Actions = []string{"rollback"} })}, refusal.NoPolicy, "", ""},
		"another namespace":    {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.Match.Namespaces = nil })}, refusal.NoPolicy, "", ""},
		"another agent class":  {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.Match.AgentClasses = []string{"x"} })}, refusal.NoPolicy, "", ""},
		"condition holds":      {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.replicas <= observed.replicas + 1", ""))}, "", catalogue.Low, ""},
		"condition fails":      {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.replicas < 4", "fewer than 4"))}, refusal.PolicyDenied, "", "policy a: fewer than 4"},
		"one of two denies":    {[]v1alpha1.ActionPolicy{allow("a", nil), allow("b", expression("requester != 'alice'", "not alice"))}, refusal.PolicyDenied, "", "policy b: not alice"},
		"does not compile":     {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.", ""))}, refusal.PolicyDenied, "", "1:12"},
		"is no condition":      {[]v1alpha1.ActionPolicy{allow("a", expression("'yes'", ""))}, refusal.PolicyDenied, "", "not true or false"},
		"fails to evaluate":    {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.nothing == 1", ""))}, refusal.PolicyDenied, "", "no such key"},
		"costs too much":       {[]v1alpha1.ActionPolicy{allow("a", expression("[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, a+b+c+d+e > 0)))))", ""))}, refusal.PolicyDenied, "", "cost"},
		"raises the tier":      {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.MinTier = "medium" })}, "", catalogue.Medium, ""},
		"unknown tier":         {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.MinTier = "none" })}, refusal.PolicyDenied, "", "none"},
		"the highest tier won": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.MinTier = "high" }), allow("b", func(s *v1alpha1.ActionPolicySpec) { s.MinTier = "low" })}, "", catalogue.High, ""},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := policy.Compile(tc.policies)
			require.NoError(t, err)
			verdict, no := set.Judge(question, catalogue.Low, "why")
			if tc.reason == "" {
				require.Nil(t, no)
				require.Equal(t, tc.tier, verdict.Tier)
				return
			}
			require.NotNil(t, no)
			require.Equal(t, tc.reason, no.Reason)
			require.Contains(t, no.Detail, tc.says)
		})
	}
}

// What was judged under other policies must be told apart; what other policies say must not.
func TestDigestNamesThePoliciesThatSpoke(t *testing.T) {
	digest := func(policies ...v1alpha1.ActionPolicy) string {
		set, err := policy.Compile(policies)
		require.NoError(t, err)
		verdict, no := set.Judge(question, catalogue.Low, "why")
		require.Nil(t, no)
		return verdict.Digest
	}
	elsewhere := allow("z", func(s *v1alpha1.ActionPolicySpec) { s.Match.Namespaces = []string{"other"} })
	require.Equal(t, digest(allow("a", nil)), digest(elsewhere, allow("a", nil)))
	require.NotEqual(t, digest(allow("a", nil)), digest(allow("a", expression("true", ""))))
	require.NotEqual(t, digest(allow("a", nil)), digest(allow("a", nil), allow("b", nil)))
}
