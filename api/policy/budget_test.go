package policy_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// A policy's expressions are bounded together, not only each for itself: what one of them may cost, twenty of them may not.
func TestWhatAWholePolicyCostsIsBounded(t *testing.T) {
	// goes through 20 × 20 × 20 items, which is well below what one expression may cost
	list := "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"
	dear := fmt.Sprintf("%[1]s.all(a, %[1]s.all(b, %[1]s.all(c, a + b + c > 0)))", list)
	ask := func(validations, variables int) (policy.Verdict, string) {
		p := v1alpha1.ActionPolicy{Spec: v1alpha1.ActionPolicySpec{MatchConstraints: v1alpha1.MatchConstraints{
			Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}}
		p.Name = "dear"
		for i := range variables {
			name := fmt.Sprintf("v%d", i)
			p.Spec.Variables = append(p.Spec.Variables, v1alpha1.PolicyVariable{Name: name, Expression: dear})
			p.Spec.Validations = append(p.Spec.Validations, v1alpha1.PolicyValidation{Expression: "variables." + name})
		}
		for range validations {
			p.Spec.Validations = append(p.Spec.Validations, v1alpha1.PolicyValidation{Expression: dear})
		}
		set, err := policy.Compile([]v1alpha1.ActionPolicy{p})
		require.NoError(t, err)
		require.Empty(t, set.Problems())
		verdict, no := set.Judge(policy.Question{Action: "scale", Cluster: "east",
			Target: catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}}, catalogue.Low, "content")
		if no == nil {
			return verdict, ""
		}
		return verdict, no.Detail
	}
	_, no := ask(1, 0)
	require.Empty(t, no, "one alone may")
	for name, of := range map[string][2]int{"validations": {60, 0}, "variables": {0, 32}} {
		verdict, no := ask(of[0], of[1])
		require.Contains(t, no, "cost more than 1000000 together", name)
		require.Equal(t, policy.Agrees, verdict.Findings[0].Effect, "%s: the first is within it", name)
		require.Equal(t, policy.Denies, verdict.Findings[len(verdict.Findings)-1].Effect, "%s: the last is not", name)
		require.Empty(t, verdict.Tier)
	}
	verdict, no := ask(1, 0)
	require.Empty(t, no, "and each request has a budget of its own")
	require.Equal(t, catalogue.Low, verdict.Tier)
}
