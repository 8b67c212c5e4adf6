package catalogue

import (
	"fmt"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

type resizeState struct {
	resources
	// Resizing: the kubelet has not done it yet, or cannot.
	Resizing bool `json:"resizing"`
}

func resizePod() *Action {
	return entry[resourcesParameters, resizeState]{
		name:  "resize-pod",
		words: Words{"low upward, medium downward", "the values as asked, no resize under way", "the former values"}, summary: "Change CPU and memory of a running pod's container, in place", kinds: []Kind{Pod}, schema: resourcesSchema(),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Pod, "", c.Target.Name, "get"), rule(Pod, "resize", c.Target.Name, "patch")}
		},
		see: func(_ Case, p resourcesParameters, target []byte, _ [][]byte, _ resizeState) (resizeState, error) {
			found, err := containerOf(Pod, target, p.Container)
			if err == nil {
				err = bounded(found.Resources, p.resources)
			}
			live, _ := decode[pod](target)
			s := resizeState{resources: resources{named(found.Resources.Requests, p.Requests), named(found.Resources.Limits, p.Limits)},
				Resizing: isTrue(live.Status.Conditions, "PodResizeInProgress") || isTrue(live.Status.Conditions, "PodResizePending")}
			if err == nil && (len(s.Requests) != len(p.Requests) || len(s.Limits) != len(p.Limits)) {
				err = fmt.Errorf("%w: what it has no value of cannot be resized in place", ErrUnfit)
			}
			return s, err
		},
		same: func(judged, now resizeState) bool { return Equal(judged.resources, now.resources) },
		tier: func(_ Case, p resourcesParameters, s resizeState) (Tier, string) {
			for _, pair := range [][2]map[string]string{{s.Requests, p.Requests}, {s.Limits, p.Limits}} {
				for key, asked := range pair[1] {
					if compare(asked, pair[0][key]) < 0 {
						return Medium, "it takes " + key + " away"
					}
				}
			}
			return Low, "it only gives more"
		},
		predict: func(_ Case, p resourcesParameters, _ resizeState) Prediction {
			return wants(5*time.Minute, wantedResources(p, map[string]any{"resizing": false}))
		},
		inverse: func(_ Case, p resourcesParameters, s resizeState) *Undo {
			return &Undo{Action: "resize-pod", Parameters: encode(resourcesParameters{p.Container, s.resources})}
		},
		change: func(_ Case, _ Stamp, p resourcesParameters, live liveObject[resizeState]) (Change, error) {
			if Equal(live.state.resources, p.resources) {
				return Change{}, ErrNothingToDo
			}
			change := live.strategic(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": p.Container, "resources": p.resources}}}},
				"resources of %s %s → %s", p.Container, encode(live.state.resources), encode(p.resources))
			change.Subresource = "resize"
			return change, nil
		},
	}.action()
}
