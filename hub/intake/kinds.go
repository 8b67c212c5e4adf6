package intake

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// kinds are those without which nobody can ask the hub for anything.
var kinds = []string{"ActionPolicy", "ActionRequest", "ActionTemplate", "Approval", "Cluster", "Freeze", "Rollout"}

// Defined checks that the hub's API server serves the kinds of this release. The hub does not start without them.
func Defined(config *rest.Config) error {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("the hub's API server: %w", err)
	}
	served, err := client.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("the kinds of the hub's API server: %w", err)
	}
	missing := slices.Clone(kinds)
	if served != nil {
		for _, resource := range served.APIResources {
			missing = slices.DeleteFunc(missing, func(kind string) bool { return kind == resource.Kind })
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the API server does not know the kinds %s of %s: apply deploy/hub/crds, or let the chart do it (crds.install)",
			strings.Join(missing, ", "), v1alpha1.GroupVersion)
	}
	return nil
}
