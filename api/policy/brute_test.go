package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// What follows judges a second time, straight from docs/policies.md: one policy after the other, no index, nothing compiled,
// expressions as Go functions. It shares no code with the package that it checks.

// condition is a CEL expression, and what it means; an error is a failure to evaluate.
type condition struct {
	cel   string
	means func(q policy.Question) (bool, error)
}

// replicasOf are those asked for.
func replicasOf(q policy.Question) (int, error) {
	var p map[string]any
	if err := json.Unmarshal(q.Parameters, &p); err != nil {
		return 0, err
	}
	n, ok := p["replicas"].(float64)
	if !ok {
		return 0, fmt.Errorf("no such key")
	}
	return int(n), nil
}

var conditions = []condition{
	{`parameters.replicas <= 10`, func(q policy.Question) (bool, error) { n, err := replicasOf(q); return n <= 10, err }},
	{`action != "scale" || parameters.replicas <= observed.replicas * 2`, func(q policy.Question) (bool, error) {
		if q.Action != "scale" {
			return true, nil
		}
		n, err := replicasOf(q)
		return n <= 2*int(q.Observed.Replicas), err
	}},
	{`!("replicas" in parameters) || variables.delta <= 3`, func(q policy.Question) (bool, error) {
		n, err := replicasOf(q)
		return err != nil || n-int(q.Observed.Replicas) <= 3, nil
	}},
	{`agentClass == "" || agentClass in ["healer", "scaler"]`, func(q policy.Question) (bool, error) {
		return q.AgentClass == "" || q.AgentClass == "healer" || q.AgentClass == "scaler", nil
	}},
	{`"stage" in clusterLabels && clusterLabels.stage == "production"`, func(q policy.Question) (bool, error) {
		return q.ClusterLabels["stage"] == "production", nil
	}},
	{`clusterLabels.stage != "test"`, func(q policy.Question) (bool, error) {
		if _, ok := q.ClusterLabels["stage"]; !ok {
			return false, fmt.Errorf("no such key")
		}
		return q.ClusterLabels["stage"] != "test", nil
	}},
	{`requester.startsWith("a")`, func(q policy.Question) (bool, error) { return strings.HasPrefix(q.Requester, "a"), nil }},
	{`now.getHours() < 18`, func(q policy.Question) (bool, error) { return q.Now.UTC().Hour() < 18, nil }},
	{`baseline >= 0`, func(q policy.Question) (bool, error) { return q.Baseline >= 0, nil }},
	{`target.kind.lowerAscii() != "daemonset"`, func(q policy.Question) (bool, error) { return q.Target.Kind != "DaemonSet", nil }},
	{`parameters.nothing == 1`, func(policy.Question) (bool, error) { return false, fmt.Errorf("no such key") }},
	{`parameters.`, nil}, // does not compile
	{`variables.nobody > 1`, nil},
	{`"yes"`, nil},
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func some[T any](r *rand.Rand, of ...T) []T {
	of = slices.Clone(of)
	r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	return of[:1+r.IntN(len(of))]
}

func maybe[T any](r *rand.Rand, chance float64, value T) *T {
	if r.Float64() < chance {
		return &value
	}
	return nil
}

func randomPolicy(r *rand.Rand, i int) (v1alpha1.ActionPolicy, []condition) {
	s := v1alpha1.ActionPolicySpec{
		Effect: one(r, "", "Allow", "Allow", "Allow", "Restrict"),
		MatchConstraints: v1alpha1.MatchConstraints{
			Actions:    one(r, []string{"*"}, some(r, "scale", "rollback", "rollout-restart"), some(r, "roll*", "scale", "drain")),
			Namespaces: one(r, []string{"*"}, some(r, "shop", "team-a", "billing"), some(r, "team-*", "shop")),
		},
	}
	m := &s.MatchConstraints
	if r.IntN(3) > 0 {
		m.Clusters = one(r, []string{"*"}, some(r, "east", "west"), []string{"e*"})
	}
	if m.Clusters == nil || r.IntN(5) == 0 {
		m.ClusterSelector = one(r, &metav1.LabelSelector{}, &metav1.LabelSelector{MatchLabels: map[string]string{"stage": "production"}},
			&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "stage", Operator: "NotIn", Values: []string{"test"}}}})
	}
	if r.IntN(3) == 0 {
		m.AgentClasses = one(r, []string{"*"}, some(r, "healer", "scaler", ""), []string{"heal*"})
	}
	if r.IntN(4) == 0 {
		m.Kinds = one(r, []string{"*"}, some(r, "Deployment", "StatefulSet"), []string{"D*"})
	}
	var holds []condition
	for range r.IntN(3) {
		c := one(r, conditions[:10]...)
		if r.IntN(40) == 0 {
			c = one(r, conditions[10:]...)
		}
		holds = append(holds, c)
		s.Validations = append(s.Validations, v1alpha1.PolicyValidation{Expression: c.cel})
	}
	s.Variables = []v1alpha1.PolicyVariable{{Name: "asked", Expression: "parameters.replicas"}, {Name: "delta", Expression: "variables.asked - observed.replicas"}}
	if r.IntN(6) == 0 {
		s.AllowedResources = []v1alpha1.ResourceRule{{APIGroups: []string{"apps"}, Resources: one(r, []string{"*"}, []string{"deployments", "deployments/scale", "replicasets"}),
			Verbs: one(r, []string{"*"}, []string{"get", "patch"}, []string{"get", "patch", "list"})}}
	}
	for range r.IntN(12) / 10 {
		s.Windows = append(s.Windows, v1alpha1.PolicyWindow{Schedule: fmt.Sprintf("%d %d * * %s", r.IntN(60), r.IntN(24), one(r, "*", "1-5", "6,0")),
			Duration: one(r, "30m", "8h", "20h", "48h"), TimeZone: one(r, "", "Europe/Berlin", "America/New_York", "Asia/Kolkata")})
	}
	for range r.IntN(12) / 10 {
		from := time.Date(2026, 11, 9+r.IntN(20), r.IntN(24), 0, 0, 0, time.UTC)
		s.Blackouts = append(s.Blackouts, one(r,
			v1alpha1.PolicyBlackout{Reason: "sale", From: from.Format(time.RFC3339), Until: from.Add(time.Duration(1+r.IntN(72)) * time.Hour).Format(time.RFC3339)},
			v1alpha1.PolicyBlackout{Reason: "batch", Schedule: "0 2 * * *", Duration: "3h", TimeZone: "Europe/Berlin"}))
	}
	percent := func() int32 { return int32(r.IntN(300)) }
	if r.IntN(4) == 0 {
		s.Scaling = &v1alpha1.PolicyScaling{MinReplicas: maybe(r, .4, int32(r.IntN(3))), MaxReplicas: maybe(r, .6, int32(3+r.IntN(20)))}
		if r.IntN(2) == 0 {
			s.Scaling.Current = &v1alpha1.PolicyShare{MaxPercent: maybe(r, .8, 50+percent()), MinPercent: maybe(r, .3, int32(r.IntN(50)))}
		}
		if r.IntN(2) == 0 {
			s.Scaling.Baseline = &v1alpha1.PolicyShare{MaxPercent: maybe(r, .8, 50+percent())}
		}
	}
	if r.IntN(5) == 0 {
		s.BlastRadius = &v1alpha1.BlastRadius{MaxPodsPercent: maybe(r, .5, int32(r.IntN(101))), HonourDisruptionBudgets: r.IntN(2) == 0}
	}
	s.GitOps = one(r, "", "", "refuse", "lease", "notify", "notify")
	s.MinTier = one(r, "", "", "", "low", "medium", "high")
	s.Approvals = one[int32](r, 0, 0, 0, 1, 2)
	if r.IntN(6) == 0 && s.Effect != "Restrict" {
		s.MinTier, s.Platform, s.LowerTierTo = "", true, one(r, "low", "medium")
		if r.IntN(8) == 0 {
			s.Platform = false // does not compile
		}
	}
	return v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%03d", i)}, Spec: s}, holds
}

func randomQuestion(r *rand.Rand) policy.Question {
	action := one(r, "scale", "scale", "rollback", "rollout-restart")
	kind := one(r, catalogue.Actions()[action].Kinds...)
	q := policy.Question{Action: action, Cluster: one(r, "east", "west", "north"), AgentClass: one(r, "", "healer", "scaler", "heal", "other"),
		Requester: one(r, "alice", "bob"), Target: catalogue.Target{APIVersion: kind.APIVersion, Kind: kind.Kind,
			Namespace: one(r, "shop", "team-a", "team-b", "billing", "kube-system"), Name: "checkout"},
		Parameters: []byte(`{}`), Observed: catalogue.Facts{Replicas: int32(r.IntN(12)), DisruptionsAllowed: maybe(r, .5, int32(r.IntN(4))), Protected: r.IntN(12) == 0},
		ClusterLabels: one(r, nil, map[string]string{"stage": "production"}, map[string]string{"stage": "test", "zone": "a"}),
		Baseline:      int64(r.IntN(12)) - 1,
		Now:           time.Date(2026, 11, 9+r.IntN(20), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)}
	if action == "scale" {
		q.Parameters = fmt.Appendf(nil, `{"replicas":%d}`, r.IntN(25))
	}
	c := catalogue.Case{Target: q.Target, Kind: kind, Parameters: q.Parameters, Facts: q.Observed}
	q.Rules = catalogue.Actions()[action].Rules(c)
	q.Owner, q.Undoable = one(r, "", "flux"), action != "rollout-restart"
	return q
}

// named: itself, or a pattern that ends with a star.
func named(list []string, value string) bool {
	for _, name := range list {
		if name == value || (name != "" && name[len(name)-1] == '*' && len(value) >= len(name)-1 && value[:len(name)-1] == name[:len(name)-1]) {
			return true
		}
	}
	return false
}

func bruteMatches(m v1alpha1.MatchConstraints, q policy.Question) bool {
	if s := m.ClusterSelector; s != nil {
		for key, value := range s.MatchLabels {
			if q.ClusterLabels[key] != value {
				return false
			}
		}
		for _, e := range s.MatchExpressions { // NotIn is the only one that is drawn
			if value, ok := q.ClusterLabels[e.Key]; ok && slices.Contains(e.Values, value) {
				return false
			}
		}
	}
	return named(m.Actions, q.Action) && named(m.Namespaces, q.Target.Namespace) && (m.Clusters == nil || named(m.Clusters, q.Cluster)) &&
		(m.AgentClasses == nil || named(m.AgentClasses, q.AgentClass)) && (m.Kinds == nil || named(m.Kinds, q.Target.Kind))
}

// bruteOpen steps back minute by minute to see whether the window began within its duration. It knows the one shape of schedule
// that is drawn: "minute hour * * days".
func bruteOpen(schedule, duration, zone string, now time.Time) bool {
	where, _ := time.LoadLocation(zone)
	lasts, _ := time.ParseDuration(duration)
	var minute, hour int
	var days string
	_, _ = fmt.Sscanf(schedule, "%d %d * * %s", &minute, &hour, &days)
	for at := now.Truncate(time.Minute); now.Sub(at) < lasts; at = at.Add(-time.Minute) {
		local := at.In(where)
		day := local.Weekday()
		weekday := day >= time.Monday && day <= time.Friday
		if local.Minute() == minute && local.Hour() == hour && (days == "*" || (days == "1-5") == weekday) {
			return true
		}
	}
	return false
}

// bruteAgrees is whether a policy that matches agrees.
func bruteAgrees(p v1alpha1.ActionPolicySpec, holds []condition, q policy.Question) bool {
	if p.LowerTierTo != "" && !p.Platform {
		return false
	}
	for _, c := range holds {
		if c.means == nil {
			return false
		}
	}
	for _, c := range holds {
		if ok, err := c.means(q); err != nil || !ok {
			return false
		}
	}
	open := len(p.Windows) == 0
	for _, w := range p.Windows {
		open = open || bruteOpen(w.Schedule, w.Duration, w.TimeZone, q.Now)
	}
	if !open {
		return false
	}
	for _, b := range p.Blackouts {
		if b.Schedule != "" {
			if bruteOpen(b.Schedule, b.Duration, b.TimeZone, q.Now) {
				return false
			}
			continue
		}
		from, _ := time.Parse(time.RFC3339, b.From)
		until, _ := time.Parse(time.RFC3339, b.Until)
		if q.Now.Equal(from) || q.Now.After(from) && q.Now.Before(until) {
			return false
		}
	}
	if q.Owner != "" && (p.GitOps == "refuse" || p.GitOps == "lease" && !q.Undoable) {
		return false
	}
	return bruteCovers(p.AllowedResources, q.Rules) && bruteScales(p.Scaling, q) && bruteTouches(p.BlastRadius, q)
}

func bruteCovers(allowed []v1alpha1.ResourceRule, wanted []rbacv1.PolicyRule) bool {
	if allowed == nil {
		return true
	}
	for _, w := range wanted {
		for _, resource := range w.Resources {
			for _, verb := range w.Verbs {
				found := false
				for _, a := range allowed { // the group drawn is always the one of all workloads
					found = found || (slices.Contains(a.Resources, resource) || a.Resources[0] == "*") && (slices.Contains(a.Verbs, verb) || a.Verbs[0] == "*")
				}
				if !found {
					return false
				}
			}
		}
	}
	return true
}

func bruteScales(s *v1alpha1.PolicyScaling, q policy.Question) bool {
	asked, err := replicasOf(q)
	if s == nil || err != nil {
		return true
	}
	n, now, late := float64(asked), float64(q.Observed.Replicas), float64(q.Baseline)
	within := func(share *v1alpha1.PolicyShare, of float64) bool {
		return share == nil || (share.MinPercent == nil || n >= float64(*share.MinPercent)*of/100) && (share.MaxPercent == nil || n <= float64(*share.MaxPercent)*of/100)
	}
	return (s.MinReplicas == nil || asked >= int(*s.MinReplicas)) && (s.MaxReplicas == nil || asked <= int(*s.MaxReplicas)) &&
		within(s.Current, now) && (s.Baseline == nil || late >= 0 && within(s.Baseline, late))
}

// bruteTouches: a scale takes away what is more than asked for, at once; the other actions replace every pod, few at a time.
func bruteTouches(b *v1alpha1.BlastRadius, q policy.Question) bool {
	if b == nil {
		return true
	}
	gone, atOnce := int(q.Observed.Replicas), 1
	if asked, err := replicasOf(q); err == nil {
		gone = max(0, gone-asked)
		atOnce = gone
	}
	if gone == 0 {
		return true
	}
	if b.MaxPodsPercent != nil && float64(gone)/float64(q.Observed.Replicas) > float64(*b.MaxPodsPercent)/100 {
		return false
	}
	return !b.HonourDisruptionBudgets || q.Observed.DisruptionsAllowed == nil || int(*q.Observed.DisruptionsAllowed) >= atOnce
}

var ranks = []catalogue.Tier{catalogue.Low, catalogue.Medium, catalogue.High}

// said is a verdict in the words of the brute-force evaluator.
type said struct {
	allowed   bool
	tier      catalogue.Tier
	approvals int32
	gitOps    string
	matched   []string
	denied    []string
}

func brute(policies []v1alpha1.ActionPolicy, holds [][]condition, q policy.Question, floor catalogue.Tier) said {
	s, allows, lowered := said{}, false, -1
	level := slices.Index(ranks, floor)
	for i, p := range policies {
		if !bruteMatches(p.Spec.MatchConstraints, q) {
			continue
		}
		s.matched = append(s.matched, p.Name)
		allows = allows || p.Spec.Effect != "Restrict"
		if !bruteAgrees(p.Spec, holds[i], q) {
			s.denied = append(s.denied, p.Name)
		}
		if to := slices.Index(ranks, catalogue.Tier(p.Spec.LowerTierTo)); to >= 0 && to < level && !q.Observed.Protected {
			lowered = max(lowered, to)
		}
	}
	if s.allowed = allows && len(s.denied) == 0; !s.allowed {
		return s
	}
	if q.Owner != "" {
		for _, p := range policies {
			if slices.Contains(s.matched, p.Name) && p.Spec.GitOps != "" && s.gitOps != "lease" {
				s.gitOps = p.Spec.GitOps
			}
		}
		if s.allowed = s.gitOps != ""; !s.allowed {
			return s
		}
	}
	if lowered >= 0 {
		level = lowered
	}
	for _, p := range policies {
		if !slices.Contains(s.matched, p.Name) {
			continue
		}
		level = max(level, slices.Index(ranks, catalogue.Tier(p.Spec.MinTier)), min(1, int(p.Spec.Approvals)))
		s.approvals = max(s.approvals, p.Spec.Approvals)
	}
	s.tier = ranks[level]
	return s
}

// TestAnIndependentEvaluatorAgrees draws 50 policies and 500 questions, ten times, and compares every verdict.
func TestAnIndependentEvaluatorAgrees(t *testing.T) {
	allowed, denied, silent, owned := 0, 0, 0, map[string]int{}
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 4))
		policies, holds := make([]v1alpha1.ActionPolicy, 50), make([][]condition, 50)
		for i := range policies {
			policies[i], holds[i] = randomPolicy(r, i)
		}
		all, err := policy.Compile(policies)
		require.NoError(t, err)
		for n := range 500 {
			q := randomQuestion(r)
			// all policies together deny nearly everything: each question is asked of a few of them, and each tenth of all
			from, to := 0, len(policies)
			if n%10 != 0 {
				from = r.IntN(len(policies) - 4)
				to = from + 1 + r.IntN(4)
			}
			set, err := all.Recompile(policies[from:to])
			require.NoError(t, err)
			floor := one(r, ranks...)
			want := brute(policies[from:to], holds[from:to], q, floor)
			verdict, no := set.Judge(q, floor, "content")
			got := said{allowed: no == nil, tier: verdict.Tier, approvals: verdict.Approvals, gitOps: verdict.GitOps}
			got.matched = append(got.matched, verdict.Policies...)
			for _, f := range verdict.Findings {
				if f.Effect == policy.Denies && !slices.Contains(got.denied, f.Policy) {
					got.denied = append(got.denied, f.Policy)
				}
			}
			if want.allowed != got.allowed || fmt.Sprint(want) != fmt.Sprint(got) {
				shown, _ := json.MarshalIndent(policies[from:to], "", " ")
				require.Equal(t, want, got, "seed %d, question %d: %+v\nverdict %+v\n%s", seed, n, q, verdict, shown)
			}
			switch {
			case got.allowed:
				owned[got.gitOps]++
				allowed++
			case len(got.denied) > 0:
				denied++
			default:
				silent++
			}
		}
	}
	require.Greater(t, min(owned["lease"], owned["notify"]), 40, "of what a GitOps tool owns too")
	t.Logf("%d allowed, %d denied, %d of which no policy speaks", allowed, denied, silent)
	require.Greater(t, min(allowed, denied, silent), 200, "what is drawn must be of every sort")
}
