package kind

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/kind/stage"
)

// stays is what helm uninstall may leave, as docs/install.md says, and the tests' own: nothing that can act.
var stays = regexp.MustCompile(`^(` + strings.Join([]string{
	`namespaces /(writ-system|shop|vault)`,
	`(serviceaccounts (writ-system|shop|vault)/default|configmaps (writ-system|shop|vault)/kube-root-ca\.crt)`,
	`persistentvolumeclaims writ-system/data-writ-(hub|spoke)-0`,
	`secrets writ-system/writ-(hub-trust|join)`,
	`configmaps writ-system/writ-hub`,
	`customresourcedefinitions /[a-z]+\.writ\.dev`,
	`(clusters|actionpolicies|actionrequests|approvals) .*`,
	`clusterrolebindings /writ-(approvers|requesters)`,
	`[a-z]+ vault/vault.*`,
}, "|") + `)$`)

// uninstall takes Writ away, spokes first, and looks at every object that is left.
func uninstall(s *scene) {
	for _, name := range []string{stage.West, stage.East, stage.Hub} {
		began := time.Now()
		require.NoError(s, s.Uninstall(s.ctx, name))
		left := s.left(name)
		say(began, "%s: uninstalled; left: %s", name, counted(left))
		for _, one := range left {
			require.Regexp(s, stays, one)
		}
		require.NoError(s, s.Purge(s.ctx, name))
		require.Empty(s, s.left(name))
	}
}

// counted is a list in few words: how many of each resource.
func counted(objects []string) string {
	counts := map[string]int{}
	for _, object := range objects {
		resource, _, _ := strings.Cut(object, " ")
		counts[resource]++
	}
	var words []string
	for _, resource := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[resource], resource))
	}
	return strings.Join(words, ", ")
}

// left is what a cluster holds now and did not before.
func (s *scene) left(name string) (more []string) {
	s.Helper()
	now, err := s.Clusters[name].Everything(s.ctx)
	require.NoError(s, err)
	for _, one := range now {
		if !slices.Contains(s.baseline[name], one) {
			more = append(more, one)
		}
	}
	return more
}
