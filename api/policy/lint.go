package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/writ-dev/writ/api/bounds"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Severity is how bad a problem is.
type Severity string

// The severities: an Error cannot have been meant, a Warning may have been.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is what is wrong with a policy, and where.
type Problem struct {
	Policy   string   `json:"policy"`
	Field    string   `json:"field"`
	Severity Severity `json:"severity"`
	Says     string   `json:"says"`
}

// linter gathers the problems of one policy.
type linter struct {
	of    *compiled
	found []Problem
}

func (l *linter) add(severity Severity, field, says string, args ...any) {
	l.found = append(l.found, Problem{l.of.name, field, severity, fmt.Sprintf(says, args...)})
}

// Lint looks for what does not compile, for rules that nothing can reach, and for windows that never open. It looks at the set
// as a whole: what restricts must have something to restrict. now is when the windows are looked at from.
func (s *Set) Lint(now time.Time) []Problem {
	var all []Problem
	for i, p := range s.policies {
		l := &linter{of: p}
		if i > 0 && s.policies[i-1].name == p.name {
			l.add(Error, "metadata.name", "there are two policies of this name")
		}
		l.compiles()
		l.reaches()
		l.opens(now)
		l.expressions()
		if p.restricts() && !slices.ContainsFunc(s.policies, func(other *compiled) bool { return !other.restricts() && overlap(p, other) }) {
			l.add(Warning, "effect", "no policy here allows anything that this one restricts")
		}
		all = append(all, l.found...)
	}
	return all
}

func (l *linter) compiles() {
	for _, fault := range faults(l.of.broken) {
		field, says, _ := strings.Cut(fault.Error(), ": ")
		l.add(Error, field, "%s", says)
	}
}

// faults takes joined errors apart.
func faults(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, inner := range joined.Unwrap() {
		all = append(all, faults(inner)...)
	}
	return all
}

// reaches looks whether the catalogue has anything that the policy speaks about.
func (l *linter) reaches() {
	m, reached, site := l.of.spec.MatchConstraints, []*catalogue.Action{}, false
	for i, wanted := range m.Actions {
		found := strings.HasPrefix(wanted, catalogue.SitePrefix) // what a site has is for the site to know
		site = site || found || wanted == anything
		for _, name := range catalogue.Names() {
			if selects([]string{wanted}, name) {
				found, reached = true, append(reached, catalogue.Actions()[name])
			}
		}
		if !found {
			l.add(Error, at("matchConstraints.actions", i), "the catalogue has no %q; it has %s", wanted, strings.Join(catalogue.Names(), ", "))
		}
	}
	kinds, scales, undoable := map[string]bool{}, false, false
	for _, action := range reached {
		undoable = undoable || action.Words.Inverse != "none"
		for _, kind := range action.Kinds {
			kinds[kind.Kind] = true
		}
		scales = scales || bounds.AsksReplicas(action)
	}
	for i, wanted := range m.Kinds {
		if len(reached) > 0 && !site && !slices.ContainsFunc(slices.Collect(maps.Keys(kinds)), func(kind string) bool { return selects([]string{wanted}, kind) }) {
			l.add(Error, at("matchConstraints.kinds", i), "none of the actions takes a %q", wanted)
		}
	}
	if l.of.scaling != nil && len(reached) > 0 && !scales {
		l.add(Warning, "scaling", "it is never reached: none of the actions asks for replicas")
	}
	if l.of.spec.GitOps == v1alpha1.GitOpsLease && len(reached) > 0 && !site && !undoable {
		l.add(Warning, "gitOps", "nothing can be leased: none of the actions can be put back")
	}
	for i, name := range m.Namespaces {
		if strings.HasPrefix(name, "kube-") {
			l.add(Warning, at("matchConstraints.namespaces", i), "what is in %s is protected: every action on it is of the high tier", name)
		}
	}
}

func (l *linter) opens(now time.Time) {
	if l.of.broken != nil {
		return
	}
	for i, period := range l.of.blackouts {
		b := l.of.spec.Blackouts[i]
		if b.Schedule == "" && !period.Holds(now) && period.Next(now).IsZero() {
			l.add(Warning, at("blackouts", i), "it is over since %s", b.Until)
		}
	}
	for i, period := range l.of.windows {
		if period.Next(now).IsZero() {
			l.add(Error, at("windows", i), "it never opens: no day is ever %q", l.of.spec.Windows[i].Schedule)
		} else if bounds.Opens([]bounds.Period{period}, l.of.blackouts, now).IsZero() {
			l.add(Error, at("windows", i), "it never opens within a year: the blackouts cover it")
		}
	}
}

// expressions looks for what is the same for every request, and for what is never asked for.
func (l *linter) expressions() {
	if l.of.broken != nil {
		return
	}
	for i := range l.of.programs {
		value, _, err := l.of.programs[i].run.Eval(cel.NoVars())
		switch {
		case err != nil: // it needs to know the request
		case value.Value() == true:
			l.add(Warning, at("validations", i), "it is true of every request: nothing is held to it")
		default:
			l.add(Error, at("validations", i), "it is false of every request: the policy denies all that it matches, and what follows is never reached")
		}
	}
	for i, v := range l.of.spec.Variables {
		if !l.mentions(variablePrefix+v.Name, i) {
			l.add(Warning, at("variables", i), "nothing asks for %q", v.Name)
		}
	}
}

// mentions reports whether an expression after the nth variable has a name in it.
func (l *linter) mentions(name string, n int) bool {
	texts := []string{}
	for _, v := range l.of.spec.Variables[n+1:] {
		texts = append(texts, v.Expression)
	}
	for _, v := range l.of.spec.Validations {
		texts = append(texts, v.Expression, v.MessageExpression)
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, name) })
}

// overlap reports whether two policies may speak about the same request. The labels of clusters are not looked at.
func overlap(a, b *compiled) bool {
	x, y := a.spec.MatchConstraints, b.spec.MatchConstraints
	return meet(x.Actions, y.Actions) && meet(x.Namespaces, y.Namespaces) && meet(x.Clusters, y.Clusters) &&
		meet(x.AgentClasses, y.AgentClasses) && meet(x.Kinds, y.Kinds)
}

// meet reports whether two lists of names and patterns may name the same; an empty list names all.
func meet(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, one := range a {
		for _, other := range b {
			left, leftPattern := strings.CutSuffix(one, anything)
			right, rightPattern := strings.CutSuffix(other, anything)
			if left == right || leftPattern && strings.HasPrefix(right, left) || rightPattern && strings.HasPrefix(left, right) {
				return true
			}
		}
	}
	return false
}
