package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// step is the name under which this package refuses.
const step = "judge"

// Question is what is judged.
type Question struct {
	Action        string
	Cluster       string
	ClusterLabels map[string]string // of the Cluster object
	AgentClass    string
	Requester     string
	Target        catalogue.Target
	Parameters    json.RawMessage
	Observed      catalogue.Facts
	// Owner is the GitOps tool that would put the change back; empty where there is none. Undoable says that the action has an inverse.
	Owner    string
	Undoable bool
	// Rules are what the action's credential may do.
	Rules []rbacv1.PolicyRule
	// Baseline is the number of replicas that the target had of late; below 0 where nobody knows.
	Baseline int64
	// Now is the time at which it is judged.
	Now time.Time
}

// Effect is what a rule did to a verdict.
type Effect string

// The effects.
const (
	Agrees Effect = "agrees"
	Denies Effect = "denies"
	Raises Effect = "raises"
	Lowers Effect = "lowers"
)

// Finding is what one rule of one policy said.
type Finding struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`           // where it stands in the policy's spec: "validations[0]"
	Text   string `json:"text,omitempty"` // the expression or the bound, as it was written
	Effect Effect `json:"effect"`
	Says   string `json:"says,omitempty"` // to people, where it does not merely agree
}

// Verdict is what the policies say to a question.
type Verdict struct {
	Tier      catalogue.Tier `json:"tier"` // empty where it is denied
	Why       string         `json:"why"`
	Approvals int32          `json:"approvals,omitempty"` // how many approvers must agree, besides what the tier demands
	OnMiss    string         `json:"onMiss,omitempty"`    // undo, where a policy has a miss undone
	GitOps    string         `json:"gitOps,omitempty"`    // lease or notify, where a GitOps tool owns the target
	Policies  []string       `json:"policies"`            // that matched, by name
	Digest    string         `json:"digest"`              // of the policies that matched
	Findings  []Finding      `json:"findings,omitempty"`  // each rule that spoke, in the order of the policies
}

// Judge asks every policy that matches. floor is the tier that content alone demands, and why. A question that is denied has a
// refusal that names each policy that denied it; the verdict has all that spoke.
func (s *Set) Judge(q Question, floor catalogue.Tier, why string) (Verdict, *refusal.Refusal) {
	verdict, matched := Verdict{}, make([]*compiled, 0, 8)
	var room [32]int32
	for _, i := range s.candidates(&q, room[:0]) {
		if p := s.policies[i]; p.matches(&q) {
			matched = append(matched, p)
		}
	}
	no := verdict.hear(&q, matched)
	if no != nil {
		return verdict, no
	}
	verdict.weigh(&q, matched, floor, why)
	return verdict, nil
}

// hear lets each policy that matches speak; it returns a refusal where one denies, or none allows.
func (v *Verdict) hear(q *Question, matched []*compiled) *refusal.Refusal {
	shared, allowed := values{q: q}, false
	v.Policies = make([]string, 0, len(matched))
	v.Findings = make([]Finding, 0, 4*len(matched))
	digests := make([]byte, 0, 80*len(matched))
	for _, p := range matched {
		v.Policies = append(v.Policies, p.name)
		digests = append(digests, p.digest...)
		allowed = allowed || !p.restricts()
		v.Findings = p.speak(q, &shared, v.Findings)
	}
	v.Digest = bundle.Digest(digests)
	if no := v.denied(); no != nil {
		return no
	}
	if !allowed {
		only := ""
		if len(matched) > 0 {
			only = fmt.Sprintf("; %s only restrict", strings.Join(v.Policies, ", "))
		}
		return refusal.New(step, refusal.NoPolicy, "no policy allows %s of %s in cluster %s: a platform engineer must add an ActionPolicy%s",
			q.Action, q.Target, q.Cluster, only)
	}
	if q.Owner == "" {
		return nil
	}
	if v.GitOps = gitOps(matched); v.GitOps == "" {
		return refusal.New(step, refusal.NoPolicy, "%s owns %s and would put a change back: a platform engineer must say what then, by gitOps in a policy (%s)",
			q.Owner, q.Target, strings.Join(v.Policies, ", "))
	}
	return nil
}

// gitOps is what becomes of a change that a GitOps tool would put back: the strictest that any policy says. None refuses here any more.
func gitOps(matched []*compiled) (says string) {
	for _, p := range matched {
		switch p.spec.GitOps {
		case v1alpha1.GitOpsLease:
			return v1alpha1.GitOpsLease
		case v1alpha1.GitOpsNotify:
			says = v1alpha1.GitOpsNotify
		}
	}
	return says
}

// denied joins what every rule that denies says.
func (v *Verdict) denied() *refusal.Refusal {
	var says []string
	for _, f := range v.Findings {
		if f.Effect == Denies {
			says = append(says, "policy "+f.Policy+": "+f.Says)
		}
	}
	if len(says) == 0 {
		return nil
	}
	return refusal.New(step, refusal.PolicyDenied, "%s", strings.Join(says, "; "))
}

// weigh finds the tier of what nobody denied: what the content demands, lowered where the platform team says so, and then
// raised to the highest that any policy demands.
func (v *Verdict) weigh(q *Question, matched []*compiled, floor catalogue.Tier, why string) {
	v.Tier, v.Why = floor, why
	var lowered catalogue.Tier
	for _, p := range matched {
		if p.lowerTo == "" || q.Observed.Protected || p.lowerTo.AtLeast(floor) {
			continue
		}
		if lowered == "" || p.lowerTo.AtLeast(lowered) {
			lowered, v.Why = p.lowerTo, "policy "+p.name+" of the platform team lowers it"
		}
		v.Findings = append(v.Findings, Finding{p.name, "lowerTierTo", string(p.lowerTo), Lowers, fmt.Sprintf("%s to %s", floor, p.lowerTo)})
	}
	if lowered != "" {
		v.Tier = lowered
	}
	for _, p := range matched {
		v.Approvals = max(v.Approvals, p.spec.Approvals)
		if p.spec.OnMiss == v1alpha1.OnMissUndo {
			v.OnMiss = v1alpha1.OnMissUndo
		}
		if v.Tier.AtLeast(p.minTier) {
			continue
		}
		rule, text := "minTier", string(p.minTier)
		if string(p.minTier) != p.spec.MinTier {
			rule, text = "approvals", fmt.Sprint(p.spec.Approvals)
		}
		v.Findings = append(v.Findings, Finding{p.name, rule, text, Raises, fmt.Sprintf("%s to %s", v.Tier, p.minTier)})
		v.Tier, v.Why = p.minTier, "policy "+p.name+" demands it"
	}
}
