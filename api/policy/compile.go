// Package policy judges action requests by what platform engineers wrote in ActionPolicy objects.
//
// The default is deny: without a policy that matches and allows, nothing is allowed. Every policy that matches must agree;
// one that does not, cannot be compiled, fails to evaluate, or costs too much, denies. Deny wins, and the highest tier wins.
// Only a policy of the platform team lowers what the content demands.
//
// It judges from values alone: it reads no clock and keeps no count. How often and how many at once is for the gateway, which
// asks Limits what to count.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/google/cel-go/cel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/writ-dev/writ/api/bounds"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Set is a list of compiled policies. It does not change: it may be asked from several goroutines.
type Set struct {
	policies []*compiled // in the order of their names
	index    index
}

// compiled is one policy, as it is asked.
type compiled struct {
	name      string
	digest    string // of name and spec
	spec      v1alpha1.ActionPolicySpec
	selector  labels.Selector // nil where the labels of the cluster do not matter
	minTier   catalogue.Tier
	lowerTo   catalogue.Tier // empty: it lowers nothing
	programs  []program      // the validations
	variables map[string]*program
	windows   []bounds.Period
	blackouts []bounds.Period
	scaling   *bounds.Scaling
	limits    []limit
	broken    error
}

// limit is a limit with its times understood.
type limit struct {
	v1alpha1.PolicyLimit
	within time.Duration
}

// Compile compiles policies, in the order of their names. One that does not compile stays in the set and denies whatever
// it matches; Problems names it.
func Compile(list []v1alpha1.ActionPolicy) (*Set, error) { return (&Set{}).Recompile(list) }

// Recompile makes the set of another list, and compiles only what this set does not have.
func (s *Set) Recompile(list []v1alpha1.ActionPolicy) (*Set, error) {
	known := make(map[string]*compiled, len(s.policies))
	for _, p := range s.policies {
		known[p.digest] = p
	}
	var env *cel.Env // made where there is something to compile
	next := &Set{policies: make([]*compiled, 0, len(list))}
	for i := range list {
		digest, err := digestOf(&list[i])
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", list[i].Name, err)
		}
		p := known[digest]
		if p == nil && env == nil {
			if env, err = environment(); err != nil {
				return nil, fmt.Errorf("policy environment: %w", err)
			}
		}
		if p == nil {
			p = compile(env, list[i].Name, digest, *list[i].Spec.DeepCopy())
		}
		next.policies = append(next.policies, p)
	}
	sort.SliceStable(next.policies, func(i, j int) bool { return next.policies[i].name < next.policies[j].name })
	next.index = indexOf(next.policies)
	return next, nil
}

// digestOf tells policies apart that say something else, or say it under another name.
func digestOf(p *v1alpha1.ActionPolicy) (string, error) {
	raw, err := json.Marshal(struct {
		Name string                    `json:"name"`
		Spec v1alpha1.ActionPolicySpec `json:"spec"`
	}{p.Name, p.Spec})
	if err != nil {
		return "", err
	}
	return bundle.Digest(raw), nil
}

// Problems lists the policies that do not compile, with position.
func (s *Set) Problems() map[string]error {
	problems := map[string]error{}
	for _, p := range s.policies {
		if p.broken != nil {
			problems[p.name] = p.broken
		}
	}
	return problems
}

// Len is how many policies there are.
func (s *Set) Len() int { return len(s.policies) }

// compile understands one policy as far as it goes. What it matches is always known: a selector that cannot be read selects
// every cluster, so that the policy denies there.
func compile(env *cel.Env, name, digest string, spec v1alpha1.ActionPolicySpec) *compiled {
	c := &compiled{name: name, digest: digest, spec: spec, minTier: catalogue.Low}
	c.broken = errors.Join(
		c.compileMatch(), c.compileTiers(), c.compileTimes(), c.compileBounds(), c.compileExpressions(env))
	return c
}

func (c *compiled) compileMatch() error {
	m := c.spec.MatchConstraints
	if len(m.Clusters) == 0 && m.ClusterSelector == nil {
		return errors.New("matchConstraints: name clusters, or select them by clusterSelector")
	}
	if m.ClusterSelector == nil {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(m.ClusterSelector)
	if err != nil {
		return fmt.Errorf("matchConstraints.clusterSelector: %w", err)
	}
	c.selector = selector
	return nil
}

func (c *compiled) compileTiers() (err error) {
	switch c.spec.Effect {
	case "", v1alpha1.EffectAllow, v1alpha1.EffectRestrict:
	default:
		return fmt.Errorf("effect: %q is neither %s nor %s", c.spec.Effect, v1alpha1.EffectAllow, v1alpha1.EffectRestrict)
	}
	if c.spec.MinTier != "" {
		if c.minTier, err = catalogue.ParseTier(c.spec.MinTier); err != nil {
			return fmt.Errorf("minTier: %w", err)
		}
	}
	if c.spec.Approvals > 0 {
		c.minTier = catalogue.Highest(c.minTier, catalogue.Medium)
	}
	if c.spec.LowerTierTo == "" {
		return nil
	}
	lowest, err := catalogue.ParseTier(c.spec.LowerTierTo)
	switch {
	case err != nil:
		return fmt.Errorf("lowerTierTo: %w", err)
	case !c.spec.Platform:
		return errors.New("lowerTierTo: only a policy of the platform team may lower a tier")
	case c.restricts():
		return errors.New("lowerTierTo: a policy that restricts cannot lower a tier")
	}
	c.lowerTo = lowest
	return nil
}

func (c *compiled) compileTimes() error {
	var faults []error
	for i, w := range c.spec.Windows {
		period, err := bounds.Window(w).Compile()
		if err != nil {
			faults = append(faults, fmt.Errorf("windows[%d].%w", i, err))
		}
		c.windows = append(c.windows, period)
	}
	for i, b := range c.spec.Blackouts {
		period, err := bounds.Blackout(b).Compile()
		if err != nil {
			faults = append(faults, fmt.Errorf("blackouts[%d].%w", i, err))
		}
		c.blackouts = append(c.blackouts, period)
	}
	return errors.Join(faults...)
}

func (c *compiled) compileBounds() error {
	if s := c.spec.Scaling; s != nil {
		c.scaling = &bounds.Scaling{MinReplicas: s.MinReplicas, MaxReplicas: s.MaxReplicas,
			Current: (*bounds.Share)(s.Current), Baseline: (*bounds.Share)(s.Baseline)}
		if err := c.scaling.Check(); err != nil {
			return fmt.Errorf("scaling: %w", err)
		}
	}
	for i, l := range c.spec.Limits {
		compiled := limit{PolicyLimit: l}
		if l.Rate != nil {
			within, err := time.ParseDuration(l.Rate.Within)
			if err != nil {
				return fmt.Errorf("limits[%d].rate.within: %w", i, err)
			}
			if within < time.Second || within > 7*24*time.Hour {
				return fmt.Errorf("limits[%d].rate.within: %s is not within 1s to 168h", i, l.Rate.Within)
			}
			compiled.within = within
		}
		c.limits = append(c.limits, compiled)
	}
	return nil
}

func (c *compiled) restricts() bool { return c.spec.Effect == v1alpha1.EffectRestrict }
