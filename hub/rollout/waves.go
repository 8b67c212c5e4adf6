package rollout

import (
	"slices"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// Select is which of the clusters there are a selector matches, in the order in which they are taken. A name that nobody has
// registered is kept: its request will say so.
func Select(selector v1alpha1.ClusterSelector, clusters []v1alpha1.Cluster) []string {
	if len(selector.Names) > 0 {
		return slices.Clone(selector.Names)
	}
	var names []string
	for i := range clusters {
		if selector.Matches(&clusters[i]) {
			names = append(names, clusters[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// cut parts the clusters into waves. No wave is empty, and the last one holds what the waves asked for leave over.
func cut(clusters []string, waves []v1alpha1.Wave) []v1alpha1.WaveStatus {
	var parts []v1alpha1.WaveStatus
	done := 0
	take := func(to int) {
		to = min(max(to, done), len(clusters))
		if to == done {
			return
		}
		part := v1alpha1.WaveStatus{}
		for _, name := range clusters[done:to] {
			part.Clusters = append(part.Clusters, v1alpha1.RolloutCluster{Name: name})
		}
		parts, done = append(parts, part), to
	}
	for _, wave := range waves {
		switch {
		case wave.Canary != nil:
			take(done + int(*wave.Canary))
		case wave.Count != nil:
			take(done + int(*wave.Count))
		case wave.Percent != nil:
			take((len(clusters)*int(*wave.Percent) + 99) / 100)
		}
	}
	take(len(clusters))
	return parts
}
