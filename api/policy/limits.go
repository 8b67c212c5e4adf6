package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limit is one thing to count before a request may go on.
type Limit struct {
	Policy string
	Name   string
	// Group tells apart what is counted apart: requests of one policy, limit and group count together.
	Group string
	// Requests may be let through within a time that moves along; 0 bounds nothing.
	Requests int
	Within   time.Duration
	// Concurrent may be under way; 0 bounds nothing.
	Concurrent int
	// ClustersPercent is the share of the fleet's clusters in which requests may be under way; nil bounds nothing.
	ClustersPercent *int32
}

// String is the limit as people read it.
func (l limit) String() string {
	var parts []string
	if l.Rate != nil {
		parts = append(parts, fmt.Sprintf("%d requests within %s", l.Rate.Requests, l.Rate.Within))
	}
	if l.Concurrent != nil {
		parts = append(parts, fmt.Sprintf("%d at once", *l.Concurrent))
	}
	if len(l.Per) > 0 {
		parts = append(parts, "per "+strings.Join(l.Per, ", "))
	}
	return strings.Join(parts, ", ")
}

// Limits are what the policies that match a question have to be counted, in the order of the policies. A policy that does not
// compile has none: it denies.
func (s *Set) Limits(q Question) []Limit {
	var found []Limit
	var room [32]int32
	for _, i := range s.candidates(&q, room[:0]) {
		p := s.policies[i]
		if p.broken != nil || !p.matches(&q) {
			continue
		}
		for _, l := range p.limits {
			limit := Limit{Policy: p.name, Name: l.Name, Group: groupOf(l.Per, &q), Within: l.within}
			if l.Rate != nil {
				limit.Requests = int(l.Rate.Requests)
			}
			if l.Concurrent != nil {
				limit.Concurrent = int(*l.Concurrent)
			}
			found = append(found, limit)
		}
		if b := p.spec.BlastRadius; b != nil && b.MaxClustersPercent != nil {
			found = append(found, Limit{Policy: p.name, Name: "blastRadius.maxClustersPercent", ClustersPercent: b.MaxClustersPercent})
		}
	}
	return found
}

// dimensions are what a limit may be counted per.
var dimensions = []struct {
	name string
	of   func(*Question) string
}{
	{"AgentClass", func(q *Question) string { return q.AgentClass }},
	{"Cluster", func(q *Question) string { return q.Cluster }},
	{"Namespace", func(q *Question) string { return q.Target.Namespace }},
	{"Action", func(q *Question) string { return q.Action }},
	{"Target", func(q *Question) string { return q.Cluster + "/" + q.Target.String() }},
}

// groupOf names the group that a question is counted in. The names that it is made of have no comma and no equals sign.
func groupOf(per []string, q *Question) string {
	var parts []string
	for _, d := range dimensions {
		if slices.Contains(per, d.name) {
			parts = append(parts, d.name+"="+d.of(q))
		}
	}
	return strings.Join(parts, ",")
}
