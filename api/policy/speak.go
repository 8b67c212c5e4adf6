package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bounds"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// speak appends what each rule of a policy says to a question that it matches.
func (c *compiled) speak(q *Question, shared *values, into []Finding) []Finding {
	if c.broken != nil {
		return append(into, Finding{c.name, "spec", "", Denies, "it does not compile: " + c.broken.Error()})
	}
	into = c.speakOfTime(q, into)
	into = c.speakOfResources(q, into)
	into = c.speakOfScaling(q, into)
	into = c.speakOfPods(q, into)
	into = c.speakOfGitOps(q, into)
	into = c.speakOfLimits(into)
	return c.speakByExpression(shared, into)
}

func (c *compiled) say(into []Finding, rule, text, objection string) []Finding {
	if objection == "" {
		return append(into, Finding{Policy: c.name, Rule: rule, Text: text, Effect: Agrees})
	}
	return append(into, Finding{c.name, rule, text, Denies, objection})
}

func (c *compiled) speakOfTime(q *Question, into []Finding) []Finding {
	for i, period := range c.blackouts {
		objection := ""
		if period.Holds(q.Now) {
			objection = "nothing may be done now: " + c.spec.Blackouts[i].Reason
		}
		into = c.say(into, at("blackouts", i), period.String(), objection)
	}
	if len(c.windows) == 0 {
		return into
	}
	for i, period := range c.windows {
		if period.Holds(q.Now) {
			return c.say(into, at("windows", i), period.String(), "")
		}
	}
	return c.say(into, "windows", c.windows[0].String(), "it is outside the windows in which it may be done"+c.opens(q))
}

// opens is when the next window begins.
func (c *compiled) opens(q *Question) string {
	var next string
	for _, period := range c.windows {
		if begins := period.Next(q.Now); !begins.IsZero() {
			if stamp := begins.UTC().Format("2006-01-02T15:04:05Z07:00"); next == "" || stamp < next {
				next = stamp
			}
		}
	}
	if next == "" {
		return ", and none comes"
	}
	return ", the next begins at " + next
}

func (c *compiled) speakOfResources(q *Question, into []Finding) []Finding {
	if len(c.spec.AllowedResources) == 0 {
		return into
	}
	return c.say(into, "allowedResources", "", uncovered(c.spec.AllowedResources, q.Rules))
}

// uncovered names the first verb on a resource that no rule allows.
func uncovered(allowed []v1alpha1.ResourceRule, wanted []rbacv1.PolicyRule) string {
	for _, w := range wanted {
		for _, group := range w.APIGroups {
			for _, resource := range w.Resources {
				for _, verb := range w.Verbs {
					if !slices.ContainsFunc(allowed, func(a v1alpha1.ResourceRule) bool {
						return holds(a.APIGroups, group) && holds(a.Resources, resource) && holds(a.Verbs, verb)
					}) {
						return fmt.Sprintf("it needs to %s %s of the group %q, which allowedResources does not name", verb, resource, group)
					}
				}
			}
		}
	}
	return ""
}

func holds(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, anything)
}

func (c *compiled) speakOfScaling(q *Question, into []Finding) []Finding {
	if c.scaling == nil {
		return into
	}
	ask, scales, err := bounds.Asked(q.Parameters, q.Observed)
	switch {
	case err != nil:
		return c.say(into, "scaling", "", err.Error())
	case !scales:
		return into
	}
	bound, why := c.scaling.Objection(ask.Wanted, ask.Now, q.Baseline)
	return c.say(into, joined("scaling", bound), "", why)
}

func (c *compiled) speakOfPods(q *Question, into []Finding) []Finding {
	b := c.spec.BlastRadius
	if b == nil || b.MaxPodsPercent == nil && !b.HonourDisruptionBudgets {
		return into
	}
	bound, why := bounds.Pods{MaxPercent: b.MaxPodsPercent, HonourDisruptionBudgets: b.HonourDisruptionBudgets}.
		Objection(q.Action, q.Target, q.Parameters, q.Observed)
	return c.say(into, joined("blastRadius", bound), "", why)
}

// speakOfGitOps says what becomes of a change to what somebody else owns, who would put it back.
func (c *compiled) speakOfGitOps(q *Question, into []Finding) []Finding {
	objection := ""
	switch {
	case q.Owner == "" || c.spec.GitOps == "":
		return into
	case c.spec.GitOps == v1alpha1.GitOpsRefuse:
		objection = fmt.Sprintf("%s owns %s: change it at its source", q.Owner, q.Target)
	case c.spec.GitOps == v1alpha1.GitOpsLease && !q.Undoable:
		objection = fmt.Sprintf("%s owns %s, so that a change may only be leased, and %s cannot be put back", q.Owner, q.Target, q.Action)
	}
	return c.say(into, "gitOps", c.spec.GitOps, objection)
}

// speakOfLimits names the limits: the gateway has counted them before it asked.
func (c *compiled) speakOfLimits(into []Finding) []Finding {
	for i := range c.limits {
		into = c.say(into, at("limits", i), c.limits[i].String(), "")
	}
	return into
}

// speakByExpression evaluates the validations. What fails denies.
func (c *compiled) speakByExpression(shared *values, into []Finding) []Finding {
	if len(c.programs) == 0 {
		return into
	}
	a := &activation{of: c, values: shared}
	for i := range c.programs {
		p, objection := &c.programs[i], ""
		value, err := a.eval(p.run)
		switch {
		case err != nil:
			objection = fmt.Sprintf("%q failed: %v", p.text, err)
		case value.Value() != true:
			objection = a.message(p)
		}
		into = c.say(into, p.rule, p.text, objection)
	}
	return into
}

// message is what the requester reads where a validation is false.
func (a *activation) message(p *program) string {
	if p.saying != nil {
		if value, err := a.eval(p.saying); err == nil {
			if said, ok := value.Value().(string); ok && strings.TrimSpace(said) != "" {
				return refusal.OneLine(said)
			}
		}
	}
	if p.message != "" {
		return p.message
	}
	return fmt.Sprintf("%q is false", p.text)
}

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func joined(field, part string) string {
	if part == "" {
		return field
	}
	return field + "." + part
}
