package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

func allow(name string, change func(*v1alpha1.ActionPolicySpec)) v1alpha1.ActionPolicy {
	p := v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"scale"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}}
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
	Parameters: []byte(`{"replicas":4}`), Observed: catalogue.Facts{Replicas: 3}, Baseline: 3,
	Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Rules: catalogue.Actions()["scale"].Rules(catalogue.Case{Kind: catalogue.Deployment})}

func TestVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		policies []v1alpha1.ActionPolicy
		reason   refusal.Reason // empty: allowed
		tier     catalogue.Tier
		says     string
	}{
		"no policy at all":    {nil, refusal.NoPolicy, "", "ActionPolicy"},
		"allowed":             {[]v1alpha1.ActionPolicy{allow("a", nil)}, "", catalogue.Low, ""},
		"another action":      {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.MatchConstraints.Actions = []string{"rollback"} })}, refusal.NoPolicy, "", ""},
		"another namespace":   {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.MatchConstraints.Namespaces = nil })}, refusal.NoPolicy, "", ""},
		"another agent class": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.MatchConstraints.AgentClasses = []string{"x"} })}, refusal.NoPolicy, "", ""},
		"condition holds":     {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.replicas <= observed.replicas + 1", ""))}, "", catalogue.Low, ""},
		"condition fails":     {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.replicas < 4", "fewer than 4"))}, refusal.PolicyDenied, "", "policy a: fewer than 4"},
		"one of two denies":   {[]v1alpha1.ActionPolicy{allow("a", nil), allow("b", expression("requester != 'alice'", "not alice"))}, refusal.PolicyDenied, "", "policy b: not alice"},
		"does not compile":    {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.", ""))}, refusal.PolicyDenied, "", "1:12"},
		"is no condition":     {[]v1alpha1.ActionPolicy{allow("a", expression("'yes'", ""))}, refusal.PolicyDenied, "", "not true or false"},
		"fails to evaluate":   {[]v1alpha1.ActionPolicy{allow("a", expression("parameters.nothing == 1", ""))}, refusal.PolicyDenied, "", "no such key"},
		"costs too much":      {[]v1alpha1.ActionPolicy{allow("a", expression("[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, a+b+c+d+e > 0)))))", ""))}, refusal.PolicyDenied, "", "cost"},
		"says its message": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.Validations = []v1alpha1.PolicyValidation{{Expression: "parameters.replicas < 4", Message: "no", MessageExpression: `"%d is too many".format([parameters.replicas])`}}
		})}, refusal.PolicyDenied, "", "policy a: 4 is too many"},
		"message that fails": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.Validations = []v1alpha1.PolicyValidation{{Expression: "parameters.replicas < 4", Message: "no", MessageExpression: `string(parameters.nothing)`}}
		})}, refusal.PolicyDenied, "", "policy a: no"},
		"a variable of a type": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.Variables = []v1alpha1.PolicyVariable{{Name: "big", Expression: "size(requester)"}}
			s.Validations = []v1alpha1.PolicyValidation{{Expression: "variables.big == 'five'"}}
		})}, refusal.PolicyDenied, "", "validations[0].expression: 1:15: found no matching overload"},
		"a variable that fails": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.Variables = []v1alpha1.PolicyVariable{{Name: "n", Expression: "parameters.nothing"}}
			s.Validations = []v1alpha1.PolicyValidation{{Expression: "variables.n == 1"}}
		})}, refusal.PolicyDenied, "", "variables.n: no such key"},
		"Kubernetes' libraries": {[]v1alpha1.ActionPolicy{allow("a", expression(`quantity("1Gi").isGreaterThan(quantity("1Mi")) && cidr("10.0.0.0/8").containsIP("10.1.1.1") && "a-b".find("b") == "b"`, ""))}, "", catalogue.Low, ""},
		"both deny, both named": {[]v1alpha1.ActionPolicy{allow("a", expression("false", "one")), allow("b", expression("false", "two"))}, refusal.PolicyDenied, "", "policy a: one; policy b: two"},
		"only restricted":       {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.Effect = v1alpha1.EffectRestrict })}, refusal.NoPolicy, "", "a only restrict"},
		"restricted by another": {[]v1alpha1.ActionPolicy{allow("a", nil), allow("b", func(s *v1alpha1.ActionPolicySpec) {
			s.Effect, s.Scaling = v1alpha1.EffectRestrict, &v1alpha1.PolicyScaling{MaxReplicas: new(int32(3))}
		})}, refusal.PolicyDenied, "", "policy b: 4 replicas are asked for, at most 3"},
		"a selector that cannot be read": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.MatchConstraints.ClusterSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		})}, refusal.PolicyDenied, "", "matchConstraints.clusterSelector"},
		"outside the window": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.Windows = []v1alpha1.PolicyWindow{{Schedule: "0 9 * * 1-5", Duration: "1h", TimeZone: "Europe/Berlin"}}
		})}, refusal.PolicyDenied, "", "the next begins at 2026-11-24T08:00:00Z"},
		"in a blackout": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.Blackouts = []v1alpha1.PolicyBlackout{{Reason: "the sale", From: "2026-11-23T00:00:00Z", Until: "2026-11-24T00:00:00Z"}}
		})}, refusal.PolicyDenied, "", "nothing may be done now: the sale"},
		"a verb not named": {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.AllowedResources = []v1alpha1.ResourceRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments/scale"}, Verbs: []string{"get"}}}
		})}, refusal.PolicyDenied, "", `it needs to patch deployments/scale of the group "apps"`},
		"two approvers":        {[]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) { s.Approvals = 2 })}, "", catalogue.Medium, ""},
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
	elsewhere := allow("z", func(s *v1alpha1.ActionPolicySpec) { s.MatchConstraints.Namespaces = []string{"other"} })
	require.Equal(t, digest(allow("a", nil)), digest(elsewhere, allow("a", nil)))
	require.NotEqual(t, digest(allow("a", nil)), digest(allow("a", expression("true", ""))))
	require.NotEqual(t, digest(allow("a", nil)), digest(allow("a", nil), allow("b", nil)))
}

// Only the platform team lowers what content demands; the higher of two wins, and a protected target stays as it is.
func TestLowering(t *testing.T) {
	lower := func(name, to string, platform bool) v1alpha1.ActionPolicy {
		return allow(name, func(s *v1alpha1.ActionPolicySpec) { s.Platform, s.LowerTierTo = platform, to })
	}
	protected := question
	protected.Observed.Protected = true
	for name, tc := range map[string]struct {
		policies []v1alpha1.ActionPolicy
		question policy.Question
		tier     catalogue.Tier // empty: denied
	}{
		"lowered":                {[]v1alpha1.ActionPolicy{lower("a", "low", true)}, question, catalogue.Low},
		"the higher of two":      {[]v1alpha1.ActionPolicy{lower("a", "low", true), lower("b", "medium", true)}, question, catalogue.Medium},
		"the higher comes first": {[]v1alpha1.ActionPolicy{lower("a", "medium", true), lower("b", "low", true)}, question, catalogue.Medium},
		"and raised by another":  {[]v1alpha1.ActionPolicy{lower("a", "low", true), allow("b", func(s *v1alpha1.ActionPolicySpec) { s.MinTier = "high" })}, question, catalogue.High},
		"without the mark":       {[]v1alpha1.ActionPolicy{lower("a", "low", false)}, question, ""},
		"a protected target":     {[]v1alpha1.ActionPolicy{lower("a", "low", true)}, protected, catalogue.High},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := policy.Compile(tc.policies)
			require.NoError(t, err)
			verdict, no := set.Judge(tc.question, catalogue.High, "content")
			require.Equal(t, tc.tier == "", no != nil, "%v", no)
			require.Equal(t, tc.tier, verdict.Tier)
		})
	}
}

// The most pods that an autoscaler may make is bounded as replicas are: by a number, by what it is now, and by what it was of late.
func TestScalingBoundsAutoscalers(t *testing.T) {
	asked := question
	asked.Action, asked.Target.APIVersion, asked.Target.Kind = "adjust-hpa", "autoscaling/v2", "HorizontalPodAutoscaler"
	asked.Observed, asked.Baseline = catalogue.Facts{State: []byte(`{"min":2,"max":10}`)}, 8
	for bound, scaling := range map[string]v1alpha1.PolicyScaling{
		"20 replicas are asked for, at most 19 are allowed":                {MaxReplicas: new(int32(19))},
		"20 replicas are more than 150 % of the 10 that there are now":     {Current: &v1alpha1.PolicyShare{MaxPercent: new(int32(150))}},
		"20 replicas are more than 200 % of the 8 that there were of late": {Baseline: &v1alpha1.PolicyShare{MaxPercent: new(int32(200))}},
	} {
		set, err := policy.Compile([]v1alpha1.ActionPolicy{allow("a", func(s *v1alpha1.ActionPolicySpec) {
			s.MatchConstraints.Actions, s.Scaling = []string{"adjust-hpa"}, &scaling
		})})
		require.NoError(t, err)
		asked.Parameters = []byte(`{"max":20}`)
		_, no := set.Judge(asked, catalogue.Low, "content")
		require.NotNil(t, no, bound)
		require.Equal(t, refusal.PolicyDenied, no.Reason)
		require.Contains(t, no.Detail, bound)
		asked.Parameters = []byte(`{"max":15}`)
		_, no = set.Judge(asked, catalogue.Low, "content")
		require.Nil(t, no)
	}
}

// The verdict names each policy and each rule that spoke.
func TestFindings(t *testing.T) {
	set, err := policy.Compile([]v1alpha1.ActionPolicy{
		allow("a", expression("parameters.replicas > 1", "")),
		allow("b", func(s *v1alpha1.ActionPolicySpec) {
			s.MinTier, s.Scaling = "medium", &v1alpha1.PolicyScaling{Baseline: &v1alpha1.PolicyShare{MaxPercent: new(int32(200))}}
			s.Limits = []v1alpha1.PolicyLimit{{Name: "hourly", Per: []string{"Target", "Namespace", "Cluster"}, Rate: &v1alpha1.PolicyRate{Requests: 2, Within: "1h"}}}
		}),
		allow("c", func(s *v1alpha1.ActionPolicySpec) { s.MatchConstraints.Kinds = []string{"StatefulSet"} }),
	})
	require.NoError(t, err)
	verdict, no := set.Judge(question, catalogue.Low, "content")
	require.Nil(t, no)
	require.Equal(t, []policy.Finding{
		{Policy: "a", Rule: "validations[0]", Text: "parameters.replicas > 1", Effect: policy.Agrees},
		{Policy: "b", Rule: "scaling", Effect: policy.Agrees},
		{Policy: "b", Rule: "limits[0]", Text: "2 requests within 1h, per Target, Namespace, Cluster", Effect: policy.Agrees},
		{Policy: "b", Rule: "minTier", Text: "medium", Effect: policy.Raises, Says: "low to medium"},
	}, verdict.Findings)
	require.Equal(t, []policy.Limit{{Policy: "b", Name: "hourly", Group: "Cluster=east,Namespace=shop,Target=east/deployment/shop/checkout", Requests: 2, Within: time.Hour}}, set.Limits(question))
	require.Equal(t, []policy.Unheard{{Policy: "c", Why: `kinds: "Deployment" is none of [StatefulSet]`}}, set.Unheard(question))
}

// However many policies speak, what is written down of it stays small, and has what denied.
func TestAVerdictIsWrittenDownShort(t *testing.T) {
	var list []v1alpha1.ActionPolicy
	for i := range 120 {
		list = append(list, allow(fmt.Sprintf("p%03d", i), expression(`"`+strings.Repeat("ü", 300)+`" != requester`, "")))
	}
	list = append(list, allow("z", expression("false", strings.Repeat("no ", 3000))))
	set, err := policy.Compile(list)
	require.NoError(t, err)
	verdict, no := set.Judge(question, catalogue.Low, "content")
	require.NotNil(t, no)
	short := verdict.Short()
	require.Len(t, short.Findings, 100)
	require.Equal(t, "z", short.Findings[0].Policy)
	require.Equal(t, verdict.Digest, short.Digest)
	require.Len(t, verdict.Findings, 121, "the verdict itself stays whole")
	raw, err := json.Marshal(short)
	require.NoError(t, err)
	require.Less(t, len(raw), 256<<10)
}
