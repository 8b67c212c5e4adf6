package policy

import (
	"slices"
	"strings"
)

// index finds the policies that may match a question without looking at the others. A policy lies under each combination of
// the actions, namespaces and agent classes that it names; where it names many or a pattern, under "any" of that.
type index map[place][]int32

type place struct{ action, namespace, class string }

// anything stands for every name. No name of an action, a namespace or a class has a star in it.
const anything = "*"

// atMost bounds under how many places one policy lies.
const atMost = 256

func indexOf(policies []*compiled) index {
	at := index{}
	for i, p := range policies {
		m := p.spec.MatchConstraints
		actions, namespaces, classes := names(m.Actions), names(m.Namespaces), []string{anything}
		if len(m.AgentClasses) > 0 {
			classes = names(m.AgentClasses)
		}
		if len(actions)*len(namespaces)*len(classes) > atMost {
			classes = []string{anything}
		}
		if len(actions)*len(namespaces) > atMost {
			actions = []string{anything}
		}
		for _, action := range actions {
			for _, namespace := range namespaces {
				for _, class := range classes {
					key := place{action, namespace, class}
					at[key] = append(at[key], int32(i))
				}
			}
		}
	}
	return at
}

// names are the different names of a list, or "any" where one is a pattern.
func names(list []string) []string {
	if slices.ContainsFunc(list, func(name string) bool { return strings.Contains(name, anything) }) {
		return []string{anything}
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// candidates are the policies that may match, in the order of their names.
func (s *Set) candidates(q *Question, into []int32) []int32 {
	for _, action := range [2]string{q.Action, anything} {
		for _, namespace := range [2]string{q.Target.Namespace, anything} {
			for _, class := range [2]string{q.AgentClass, anything} {
				into = append(into, s.index[place{action, namespace, class}]...)
			}
		}
	}
	slices.Sort(into)
	return slices.Compact(into) // a name that is itself "*" is looked up twice
}
