package policy

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// matches reports whether a policy speaks about a question.
func (c *compiled) matches(q *Question) bool {
	m := &c.spec.MatchConstraints
	return selects(m.Actions, q.Action) && selects(m.Namespaces, q.Target.Namespace) &&
		(len(m.AgentClasses) == 0 || selects(m.AgentClasses, q.AgentClass)) &&
		(len(m.Kinds) == 0 || selects(m.Kinds, q.Target.Kind)) &&
		(len(m.Clusters) == 0 || selects(m.Clusters, q.Cluster)) &&
		(c.selector == nil || c.selector.Matches(labels.Set(q.ClusterLabels)))
}

// passes is why a policy does not speak about a question; empty where it does.
func (c *compiled) passes(q *Question) string {
	m := &c.spec.MatchConstraints
	switch {
	case !selects(m.Actions, q.Action):
		return fmt.Sprintf("actions: %q is none of %v", q.Action, m.Actions)
	case !selects(m.Namespaces, q.Target.Namespace):
		return fmt.Sprintf("namespaces: %q is none of %v", q.Target.Namespace, m.Namespaces)
	case len(m.AgentClasses) > 0 && !selects(m.AgentClasses, q.AgentClass):
		return fmt.Sprintf("agentClasses: %q is none of %q", q.AgentClass, m.AgentClasses)
	case len(m.Kinds) > 0 && !selects(m.Kinds, q.Target.Kind):
		return fmt.Sprintf("kinds: %q is none of %v", q.Target.Kind, m.Kinds)
	case len(m.Clusters) > 0 && !selects(m.Clusters, q.Cluster):
		return fmt.Sprintf("clusters: %q is none of %v", q.Cluster, m.Clusters)
	case c.selector != nil && !c.selector.Matches(labels.Set(q.ClusterLabels)):
		return fmt.Sprintf("clusterSelector: cluster %s has not the labels %s", q.Cluster, c.selector)
	}
	return ""
}

// selects reports whether a list names a value: itself, or by a pattern that ends with a star.
func selects(list []string, value string) bool {
	for _, name := range list {
		if begin, pattern := strings.CutSuffix(name, anything); name == value && !pattern || pattern && strings.HasPrefix(value, begin) {
			return true
		}
	}
	return false
}
