// Package localpolicy is the word of a cluster's own administrator: which orders this cluster accepts at all, whoever
// signed them.
//
// The file lies in the cluster and is not for the hub to read or write. The default is deny: no file, no rule, no match
// means no action. A file that does not parse never loosens anything: the last good one stays in force.
package localpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// step is the name under which this package refuses.
const step = "judge"

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// Rules is a whole policy. One rule that allows an order is enough.
type Rules struct {
	Rules []Rule `json:"rules"`
}

// Rule allows some actions in some namespaces.
type Rule struct {
	// Actions are names of the catalogue, or "*".
	Actions []string `json:"actions"`
	// Namespaces are names or patterns as path.Match has them: "shop", "team-*", "*".
	Namespaces []string `json:"namespaces"`
	// Kinds are kinds of targets, such as "Deployment". Left out: any kind of the catalogue.
	Kinds []string `json:"kinds,omitempty"`
	// MaxTier is the highest tier that the rule allows. Left out: low.
	MaxTier catalogue.Tier `json:"maxTier,omitempty"`
	// MaxReplicas bounds what a workload may be scaled to. Left out: the catalogue's own bound.
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
}

// Parse decodes a policy. Unknown, duplicate and case-variant fields are errors, and so are names that cannot match.
func Parse(raw []byte) (Rules, error) {
	if len(raw) > maxFile {
		return Rules{}, fmt.Errorf("longer than %d KiB", maxFile>>10)
	}
	converted, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return Rules{}, err
	}
	var rules Rules
	strict, err := kjson.UnmarshalStrict(converted, &rules)
	if err := errors.Join(append(strict, err)...); err != nil {
		return Rules{}, err
	}
	for i := range rules.Rules {
		if err := rules.Rules[i].complete(); err != nil {
			return Rules{}, fmt.Errorf("rules[%d]: %w", i, err)
		}
	}
	return rules, nil
}

// complete fills in defaults and refuses what cannot have been meant.
func (r *Rule) complete() error {
	if r.MaxTier == "" {
		r.MaxTier = catalogue.Low
	}
	if _, err := catalogue.ParseTier(string(r.MaxTier)); err != nil {
		return fmt.Errorf("maxTier: %w", err)
	}
	if len(r.Actions) == 0 || len(r.Namespaces) == 0 {
		return errors.New(`actions and namespaces must each name at least one; "*" is all`)
	}
	for _, action := range r.Actions {
		if catalogue.Actions()[action] == nil && action != "*" {
			return fmt.Errorf("actions: %q is not in the catalogue: %s", action, strings.Join(catalogue.Names(), ", "))
		}
	}
	for _, pattern := range r.Namespaces {
		if _, err := path.Match(pattern, "x"); err != nil || pattern == "" {
			return fmt.Errorf("namespaces: %q is no pattern", pattern)
		}
	}
	for _, kind := range r.Kinds {
		if !slices.ContainsFunc(catalogue.Workloads(), func(k catalogue.Kind) bool { return k.Kind == kind }) {
			return fmt.Errorf("kinds: %q is none that can be acted on", kind)
		}
	}
	if r.MaxReplicas != nil && *r.MaxReplicas < 0 {
		return errors.New("maxReplicas is below 0")
	}
	return nil
}

// Allow refuses an order that no rule allows. floor is the tier that the order's content demands, as this spoke computes it;
// the tier that counts is the higher one of floor and the order's own.
func (r Rules) Allow(order bundle.Order, floor catalogue.Tier) *refusal.Refusal {
	tier := catalogue.Highest(floor, order.Tier)
	var near string
	for i, rule := range r.Rules {
		if !rule.speaksOf(order) {
			continue
		}
		why := rule.objection(order, tier)
		if why == "" {
			return nil
		}
		near = fmt.Sprintf("rules[%d] %s", i, why)
	}
	if near == "" {
		near = "no rule names it"
	}
	return refusal.New(step, refusal.LocalPolicyDenied,
		"the cluster's own policy does not allow %s of %s: %s; the cluster's administrator can change that",
		order.Action, order.Target, near)
}

func (r Rule) speaksOf(order bundle.Order) bool {
	return (slices.Contains(r.Actions, order.Action) || slices.Contains(r.Actions, "*")) &&
		(len(r.Kinds) == 0 || slices.Contains(r.Kinds, order.Target.Kind)) &&
		slices.ContainsFunc(r.Namespaces, func(pattern string) bool {
			ok, err := path.Match(pattern, order.Target.Namespace)
			return ok && err == nil
		})
}

// objection says why a rule that speaks of an order does not allow it; empty where it does.
func (r Rule) objection(order bundle.Order, tier catalogue.Tier) string {
	if !r.MaxTier.AtLeast(tier) {
		return fmt.Sprintf("allows tier %s at most, this is %s", r.MaxTier, tier)
	}
	if r.MaxReplicas == nil || order.Action != "scale" {
		return ""
	}
	var asked struct {
		Replicas *int32 `json:"replicas"`
	}
	if err := json.Unmarshal(order.Parameters, &asked); err != nil || asked.Replicas == nil {
		return "bounds the replicas, and the order does not say how many"
	}
	if *asked.Replicas > *r.MaxReplicas {
		return fmt.Sprintf("allows %d replicas at most, %d are asked for", *r.MaxReplicas, *asked.Replicas)
	}
	return ""
}
