// Package localpolicy is the word of a cluster's own administrator: which orders this cluster accepts at all, whoever
// signed them.
//
// The file lies in the cluster and is not for the hub to read or write. The default is deny: no file, no rule, no match
// means no action. A file that does not parse never loosens anything: the last good one stays in force.
package localpolicy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/bounds"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
)

// step is the name under which this package refuses.
const step = "judge"

// maxFile bounds the file, in bytes.
const maxFile = 256 << 10

// Rules is a whole policy. One rule that allows an order is enough, unless it is within a blackout.
type Rules struct {
	Rules []Rule `json:"rules"`
	// Blackouts are when nothing may be done in this cluster.
	Blackouts []bounds.Blackout `json:"blackouts,omitempty"`
	// Templates are the actions of the site's own that this cluster's admin knows, each with all that it says. Another one, or one of
	// the same name that says something else, is denied whatever the rules say.
	Templates []template.Definition `json:"templates,omitempty"`

	blackouts []bounds.Period
	templates map[string]site // by name
}

// site is an action of the site's own, understood.
type site struct {
	digest string
	action *catalogue.Action
}

// Rule allows some actions in some namespaces.
type Rule struct {
	// Actions are names of the catalogue or of Templates, or "*".
	Actions []string `json:"actions"`
	// Namespaces are names or patterns as path.Match has them: "shop", "team-*", "*".
	Namespaces []string `json:"namespaces"`
	// Kinds are kinds of targets, such as "Deployment". Left out: any kind of the catalogue that has a namespace. A kind that has
	// none, such as "Node", must be named; its namespace matches "*".
	Kinds []string `json:"kinds,omitempty"`
	// MaxTier is the highest tier that the rule allows. Left out: low.
	MaxTier catalogue.Tier `json:"maxTier,omitempty"`
	// MinReplicas and MaxReplicas bound what a workload may be scaled to. Left out: the catalogue's own bounds.
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// Current bounds it by the replicas that there are.
	Current *bounds.Share `json:"current,omitempty"`
	// MaxPodsPercent bounds the share of a workload's pods that one action may touch.
	MaxPodsPercent *int32 `json:"maxPodsPercent,omitempty"`
	// HonourDisruptionBudgets demands room in the PodDisruptionBudgets over the pods.
	HonourDisruptionBudgets bool `json:"honourDisruptionBudgets,omitempty"`
	// Windows are when the rule allows anything. Left out: always.
	Windows []bounds.Window `json:"windows,omitempty"`
	// LowerTierTo agrees that the hub's platform team lowers the tier that an order's content demands, down to this one. Left
	// out: to none.
	LowerTierTo catalogue.Tier `json:"lowerTierTo,omitempty"`

	windows []bounds.Period
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
	if err := rules.completeTemplates(); err != nil {
		return Rules{}, err
	}
	for i := range rules.Rules {
		if err := rules.Rules[i].complete(rules.templates); err != nil {
			return Rules{}, fmt.Errorf("rules[%d]: %w", i, err)
		}
	}
	for i, b := range rules.Blackouts {
		period, err := b.Compile()
		if err != nil {
			return Rules{}, fmt.Errorf("blackouts[%d].%w", i, err)
		}
		if b.Reason == "" {
			return Rules{}, fmt.Errorf("blackouts[%d].reason: say why: whoever is refused reads it", i)
		}
		rules.blackouts = append(rules.blackouts, period)
	}
	return rules, nil
}

// completeTemplates understands the templates: one that is not understood is known to nobody.
func (r *Rules) completeTemplates() error {
	r.templates = map[string]site{}
	for i, d := range r.Templates {
		action, err := template.Compile(d)
		if _, twice := r.templates[d.Name]; twice {
			err = fmt.Errorf("%q is there twice", d.Name)
		}
		if err != nil {
			return fmt.Errorf("templates[%d].%w", i, err)
		}
		r.templates[d.Name] = site{d.Digest(), action}
	}
	return nil
}

// Template is the action of the site's own that the cluster's admin knows by a name, and the digest of its template; nil where there
// is none.
func (r Rules) Template(name string) (action *catalogue.Action, digest string) {
	known := r.templates[name]
	return known.action, known.digest
}

// unknown says why an order's template is not one that the admin knows; empty where it is, or has none.
func (r Rules) unknown(order bundle.Order) string {
	if order.Template == nil {
		return ""
	}
	known, ok := r.templates[order.Template.Name]
	switch digest := order.Template.Digest(); {
	case !ok:
		return "templates has none of that name"
	case known.digest != digest:
		return fmt.Sprintf("templates has another one of that name: %s, the order has %s", known.digest, digest)
	}
	return ""
}

// complete fills in defaults and refuses what cannot have been meant.
func (r *Rule) complete(templates map[string]site) error {
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
		if _, site := templates[action]; catalogue.Actions()[action] == nil && action != "*" && !site {
			return fmt.Errorf("actions: %q is not in the catalogue, nor in templates: %s", action, strings.Join(catalogue.Names(), ", "))
		}
	}
	for _, pattern := range r.Namespaces {
		if _, err := path.Match(pattern, "x"); err != nil || pattern == "" {
			return fmt.Errorf("namespaces: %q is no pattern", pattern)
		}
	}
	kinds := catalogue.Kinds()
	for _, known := range templates {
		kinds = append(kinds, known.action.Kinds...)
	}
	for _, kind := range r.Kinds {
		if !slices.ContainsFunc(kinds, func(k catalogue.Kind) bool { return k.Kind == kind }) {
			return fmt.Errorf("kinds: %q is none that can be acted on", kind)
		}
	}
	return r.completeBounds()
}

func (r *Rule) completeBounds() error {
	numbers := map[string]*int32{"minReplicas": r.MinReplicas, "maxReplicas": r.MaxReplicas, "maxPodsPercent": r.MaxPodsPercent}
	if r.Current != nil {
		numbers["current.minPercent"], numbers["current.maxPercent"] = r.Current.MinPercent, r.Current.MaxPercent
	}
	for name, number := range numbers {
		if number != nil && *number < 0 {
			return fmt.Errorf("%s is below 0", name)
		}
	}
	if err := r.scaling().Check(); err != nil {
		return err
	}
	if r.LowerTierTo != "" && r.LowerTierTo != catalogue.Low && r.LowerTierTo != catalogue.Medium {
		return fmt.Errorf("lowerTierTo: %q is neither low nor medium", r.LowerTierTo)
	}
	for i, w := range r.Windows {
		period, err := w.Compile()
		if err != nil {
			return fmt.Errorf("windows[%d].%w", i, err)
		}
		r.windows = append(r.windows, period)
	}
	return nil
}

func (r *Rule) scaling() bounds.Scaling {
	return bounds.Scaling{MinReplicas: r.MinReplicas, MaxReplicas: r.MaxReplicas, Current: r.Current}
}

// Allow refuses an order that no rule allows at a time. floor is the tier that the order is held to, as this spoke computes it;
// the tier that counts is the higher one of floor and the order's own.
func (r Rules) Allow(order bundle.Order, floor catalogue.Tier, now time.Time) *refusal.Refusal {
	for i, period := range r.blackouts {
		if period.Holds(now) {
			return denied(order, fmt.Sprintf("blackouts[%d]: %s", i, r.Blackouts[i].Reason))
		}
	}
	if why := r.unknown(order); why != "" {
		return denied(order, why)
	}
	tier := catalogue.Highest(floor, order.Tier)
	near := "no rule names it"
	for i := range r.Rules {
		rule := &r.Rules[i]
		if !rule.speaksOf(order) {
			continue
		}
		why := rule.objection(order, tier, now)
		if why == "" {
			return nil
		}
		near = fmt.Sprintf("rules[%d] %s", i, why)
	}
	return denied(order, near)
}

func denied(order bundle.Order, why string) *refusal.Refusal {
	return refusal.New(step, refusal.LocalPolicyDenied,
		"the cluster's own policy does not allow %s of %s: %s; the cluster's administrator can change that",
		order.Action, order.Target, why)
}

// Lowers is the lowest tier to which a rule that allows an order at its own tier agrees to lower what its content demands; empty
// where none does.
func (r Rules) Lowers(order bundle.Order, now time.Time) catalogue.Tier {
	var lowest catalogue.Tier
	if r.unknown(order) != "" {
		return ""
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		if rule.LowerTierTo == "" || !rule.speaksOf(order) || rule.objection(order, order.Tier, now) != "" {
			continue
		}
		if lowest == "" || lowest.AtLeast(rule.LowerTierTo) {
			lowest = rule.LowerTierTo
		}
	}
	return lowest
}

func (r *Rule) speaksOf(order bundle.Order) bool {
	return (slices.Contains(r.Actions, order.Action) || slices.Contains(r.Actions, "*")) &&
		(len(r.Kinds) == 0 && order.Target.Namespace != "" || slices.Contains(r.Kinds, order.Target.Kind)) &&
		slices.ContainsFunc(r.Namespaces, func(pattern string) bool {
			ok, err := path.Match(pattern, order.Target.Namespace)
			return ok && err == nil
		})
}

// objection says why a rule that speaks of an order does not allow it; empty where it does.
func (r *Rule) objection(order bundle.Order, tier catalogue.Tier, now time.Time) string {
	if !r.MaxTier.AtLeast(tier) {
		return fmt.Sprintf("allows tier %s at most, this is %s", r.MaxTier, tier)
	}
	if len(r.windows) > 0 && !slices.ContainsFunc(r.windows, func(p bounds.Period) bool { return p.Holds(now) }) {
		return "allows nothing outside its windows"
	}
	if why := r.scales(order); why != "" {
		return why
	}
	_, why := bounds.Pods{MaxPercent: r.MaxPodsPercent, HonourDisruptionBudgets: r.HonourDisruptionBudgets}.
		Objection(order.Action, order.Target, order.Parameters, order.Observed)
	return why
}

// scales says why a rule does not allow the replicas that an order asks for.
func (r *Rule) scales(order bundle.Order) string {
	if r.MinReplicas == nil && r.MaxReplicas == nil && r.Current == nil {
		return ""
	}
	ask, ok, err := bounds.Asked(order.Parameters, order.Observed)
	switch {
	case err != nil || !ok && order.Action == "scale":
		return "bounds the replicas, and the order does not say how many"
	case !ok:
		return ""
	}
	_, why := r.scaling().Objection(ask.Wanted, ask.Now, -1)
	return why
}
