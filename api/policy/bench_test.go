package policy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// fleetPolicies are n policies of teams, each for a namespace and two actions of its own, and three that speak about all: as
// a platform has them.
func fleetPolicies(n int) []v1alpha1.ActionPolicy {
	list := []v1alpha1.ActionPolicy{
		allow("platform-hours", func(s *v1alpha1.ActionPolicySpec) {
			s.Effect = v1alpha1.EffectRestrict
			s.MatchConstraints = v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}
			s.Windows = []v1alpha1.PolicyWindow{{Schedule: "0 6 * * *", Duration: "20h", TimeZone: "Europe/Berlin"}}
			s.Blackouts = []v1alpha1.PolicyBlackout{{Reason: "year's end", From: "2026-12-20T00:00:00Z", Until: "2027-01-03T00:00:00Z"}}
		}),
		allow("platform-scaling", func(s *v1alpha1.ActionPolicySpec) {
			s.Effect = v1alpha1.EffectRestrict
			s.MatchConstraints.Namespaces = []string{"*"}
			s.Scaling = &v1alpha1.PolicyScaling{MaxReplicas: new(int32(100)), Current: &v1alpha1.PolicyShare{MaxPercent: new(int32(200))}}
		}),
		allow("platform-agents", func(s *v1alpha1.ActionPolicySpec) {
			s.Effect = v1alpha1.EffectRestrict
			s.MatchConstraints = v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}, AgentClasses: []string{"healer", "scaler"}}
			s.Validations = []v1alpha1.PolicyValidation{{Expression: `target.namespace != "kube-system"`}}
		}),
	}
	for i := len(list); i < n; i++ {
		list = append(list, allow(fmt.Sprintf("team-%d", i), func(s *v1alpha1.ActionPolicySpec) {
			s.MatchConstraints = v1alpha1.MatchConstraints{Actions: []string{"scale", "rollback"}, Namespaces: []string{fmt.Sprintf("team-%d", i/2)},
				ClusterSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"stage": "production"}}}
			s.Variables = []v1alpha1.PolicyVariable{{Name: "delta", Expression: `action == "scale" ? parameters.replicas - observed.replicas : 0`}}
			s.Validations = []v1alpha1.PolicyValidation{
				{Expression: `variables.delta <= 10`, Message: "ten at a time"}, {Expression: `requester != "mallory"`}}
		}))
	}
	return list
}

func fleetQuestion(n int) policy.Question {
	q := question
	q.Target.Namespace = fmt.Sprintf("team-%d", max(3, n*3/4)/2)
	q.ClusterLabels = map[string]string{"stage": "production"}
	q.Now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return q
}

// BenchmarkVerdict reports, besides the mean, the 99th percentile of one verdict.
func BenchmarkVerdict(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			set, err := policy.Compile(fleetPolicies(n))
			require.NoError(b, err)
			q := fleetQuestion(n)
			verdict, no := set.Judge(q, catalogue.Low, "content")
			require.Nil(b, no)
			require.Len(b, verdict.Policies, 5)
			took := make([]time.Duration, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				_, _ = set.Judge(q, catalogue.Low, "content")
				if len(took) < cap(took) {
					took = append(took, time.Since(began))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
		})
	}
}

// BenchmarkRecompile is what a change of one policy costs.
func BenchmarkRecompile(b *testing.B) {
	list := fleetPolicies(10000)
	set, err := policy.Compile(list)
	require.NoError(b, err)
	for i := 0; b.Loop(); i++ {
		list[len(list)-1].Spec.Validations[0].Message = fmt.Sprint(i)
		_, err := set.Recompile(list)
		require.NoError(b, err)
	}
}
