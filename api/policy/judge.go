package policy

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// step is the name under which this package refuses.
const step = "judge"

// Question is what is judged.
type Question struct {
	Action     string
	Cluster    string
	AgentClass string
	Requester  string
	Target     catalogue.Target
	Parameters json.RawMessage
	Observed   catalogue.Facts
}

// Verdict is what the policies say to a question that none of them denied.
type Verdict struct {
	Tier     catalogue.Tier `json:"tier"`
	Why      string         `json:"why"`
	Policies []string       `json:"policies"` // that matched, by name
	Digest   string         `json:"digest"`   // of the policies that matched
}

// Judge asks every policy that matches. floor is the tier that content alone demands, and why.
func (s *Set) Judge(q Question, floor catalogue.Tier, why string) (Verdict, *refusal.Refusal) {
	verdict := Verdict{Tier: floor, Why: why}
	var digests string
	variables, err := q.variables()
	if err != nil {
		return Verdict{}, refusal.New(step, refusal.ParametersInvalid, "%v", err)
	}
	for _, p := range s.policies {
		if !matches(p.match, q) {
			continue
		}
		if no := p.judge(variables); no != nil {
			return Verdict{}, no
		}
		verdict.Policies = append(verdict.Policies, p.name)
		digests += p.digest
		if !verdict.Tier.AtLeast(p.minTier) {
			verdict.Tier, verdict.Why = p.minTier, "policy "+p.name+" demands it"
		}
	}
	if len(verdict.Policies) == 0 {
		return Verdict{}, refusal.New(step, refusal.NoPolicy,
			"no policy allows %s of %s in cluster %s: a platform engineer must add an ActionPolicy", q.Action, q.Target, q.Cluster)
	}
	verdict.Digest = bundle.Digest([]byte(digests))
	return verdict, nil
}

func (p compiled) judge(variables map[string]any) *refusal.Refusal {
	if p.broken != nil {
		return refusal.New(step, refusal.PolicyDenied, "policy %s does not compile: %v", p.name, p.broken)
	}
	for _, v := range p.validations {
		value, _, err := v.program.Eval(variables)
		if err != nil {
			return refusal.New(step, refusal.PolicyDenied, "policy %s: %q failed: %v", p.name, v.expression, err)
		}
		if value.Value() != true {
			message := v.message
			if message == "" {
				message = fmt.Sprintf("%q is false", v.expression)
			}
			return refusal.New(step, refusal.PolicyDenied, "policy %s: %s", p.name, message)
		}
	}
	return nil
}

func matches(m v1alpha1.PolicyMatch, q Question) bool {
	return selects(m.Actions, q.Action) && selects(m.Clusters, q.Cluster) && selects(m.Namespaces, q.Target.Namespace) &&
		(len(m.AgentClasses) == 0 || selects(m.AgentClasses, q.AgentClass))
}

func selects(list []string, value string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, value)
}

func (q Question) variables() (map[string]any, error) {
	parameters, observed := map[string]any{}, map[string]any{}
	if len(q.Parameters) > 0 {
		if err := json.Unmarshal(q.Parameters, &parameters); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
	}
	raw, err := json.Marshal(q.Observed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &observed); err != nil {
		return nil, err
	}
	return map[string]any{
		"action": q.Action, "cluster": q.Cluster, "agentClass": q.AgentClass, "requester": q.Requester,
		"parameters": whole(parameters), "observed": whole(observed),
		"target": map[string]string{"apiVersion": q.Target.APIVersion, "kind": q.Target.Kind,
			"namespace": q.Target.Namespace, "name": q.Target.Name},
	}, nil
}

// whole turns JSON numbers without a fraction into integers, so that CEL's "parameters.replicas <= 5" has a meaning.
func whole(values map[string]any) map[string]any {
	for key, value := range values {
		switch v := value.(type) {
		case float64:
			if v == float64(int64(v)) {
				values[key] = int64(v)
			}
		case map[string]any:
			whole(v)
		}
	}
	return values
}
