package catalogue

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
	"k8s.io/apimachinery/pkg/api/resource"
)

// resources are quantities of cpu and memory.
type resources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
}

type resourcesParameters struct {
	Container string `json:"container"`
	resources
}

type resourcesState struct {
	resources
	// Killed: a container of that name in a pod of the workload was killed for want of memory.
	Killed bool `json:"oomKilled"`
}

// maxFactor bounds by how much one action may raise a resource; policies set lower bounds.
const maxFactor = 10

func quantity(description string) *jsonschema.Schema { return text(description, quantities, 20) }

func resourcesSchema() *jsonschema.Schema {
	of := func(what string) *jsonschema.Schema {
		s := object(map[string]*jsonschema.Schema{"cpu": quantity("such as 250m"), "memory": quantity("such as 512Mi")})
		s.Description, s.MinProperties = what, ptr(1)
		return s
	}
	s := withContainer(map[string]*jsonschema.Schema{"requests": of("what the scheduler sets aside"), "limits": of("what the node enforces")})
	s.MinProperties = ptr(2)
	return s
}

func setResources() *Action {
	return entry[resourcesParameters, resourcesState]{
		name:  "set-resources",
		words: Words{"medium; high where memory gets less, or gets its first limit", "fully available at the end of the time, and no container killed for want of memory", "the former values; rollback where there were none"}, summary: "Set the requests and limits of a container of a workload", kinds: rolling(), schema: resourcesSchema(),
		lists: []Kind{Pod},
		look:  func(c Case, target []byte, _ resourcesState) []Read { return podsOf(target) },
		see: func(c Case, p resourcesParameters, target []byte, looked [][]byte, _ resourcesState) (resourcesState, error) {
			found, err := containerOf(c.Kind, target, p.Container)
			if err == nil {
				err = bounded(found.Resources, p.resources)
			}
			s := resourcesState{resources: resources{named(found.Resources.Requests, p.Requests), named(found.Resources.Limits, p.Limits)}}
			if err == nil && len(looked) == 1 {
				s.Killed, err = killed(looked[0], p.Container)
			}
			return s, err
		},
		same: func(judged, now resourcesState) bool { return Equal(judged.resources, now.resources) },
		tier: func(_ Case, p resourcesParameters, s resourcesState) (Tier, string) {
			return resourcesTier(s.resources, p.resources)
		},
		predict: func(c Case, p resourcesParameters, _ resourcesState) Prediction {
			prediction := rolledOut(c, wantedResources(p, map[string]any{"oomKilled": false}))
			prediction.Lasts = true
			return prediction
		},
		inverse: func(c Case, p resourcesParameters, s resourcesState) *Undo {
			if len(s.Requests) != len(p.Requests) || len(s.Limits) != len(p.Limits) {
				return templateBefore(c) // some had no value before
			}
			return &Undo{Action: "set-resources", Parameters: encode(resourcesParameters{p.Container, s.resources})}
		},
		change: func(_ Case, _ Stamp, p resourcesParameters, live liveObject[resourcesState]) (Change, error) {
			if Equal(live.state.resources, p.resources) {
				return Change{}, ErrNothingToDo
			}
			return live.strategic(template(p.Container, map[string]any{"resources": p.resources}),
				"resources of %s %s → %s", p.Container, encode(live.state.resources), encode(p.resources)), nil
		},
	}.action()
}

func wantedResources(p resourcesParameters, want map[string]any) map[string]any {
	if len(p.Requests) > 0 {
		want["requests"] = p.Requests
	}
	if len(p.Limits) > 0 {
		want["limits"] = p.Limits
	}
	return want
}

// named keeps of what is there the keys that are asked for, written as they are asked for where they mean the same.
func named(there, asked map[string]string) map[string]string {
	kept := map[string]string{}
	for key, wanted := range asked {
		is, ok := there[key]
		if !ok {
			continue
		}
		kept[key] = is
		if compare(is, wanted) == 0 {
			kept[key] = wanted
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// compare is below 0 where a is less than b. Both have been checked, or come from the API server.
func compare(a, b string) int {
	left, errLeft := resource.ParseQuantity(a)
	right, errRight := resource.ParseQuantity(b)
	if errLeft != nil || errRight != nil {
		return 1
	}
	return left.Cmp(right)
}

// bounded refuses what is not a quantity, or more than maxFactor times what is there.
func bounded(there, asked resources) error {
	var problems []error
	check := func(what string, there, asked map[string]string) {
		for _, key := range slices.Sorted(maps.Keys(asked)) {
			if _, err := resource.ParseQuantity(asked[key]); err != nil {
				problems = append(problems, fmt.Errorf("%w: %s of %s: %w", ErrUnfit, what, key, err))
			}
			if is, ok := there[key]; ok && exceeds(asked[key], is, maxFactor) {
				problems = append(problems, fmt.Errorf("%w: %s of %s %s is more than %d times %s", ErrUnfit, what, key, asked[key], maxFactor, is))
			}
		}
	}
	check("the request", there.Requests, asked.Requests)
	check("the limit", there.Limits, asked.Limits)
	return errors.Join(problems...)
}

// exceeds reports whether asked is more than factor times what is there.
func exceeds(asked, is string, factor float64) bool {
	left, errLeft := resource.ParseQuantity(asked)
	right, errRight := resource.ParseQuantity(is)
	return errLeft != nil || errRight != nil || left.AsApproximateFloat64() > factor*right.AsApproximateFloat64()
}

func resourcesTier(there, asked resources) (Tier, string) {
	for _, pair := range [][2]map[string]string{{there.Requests, asked.Requests}, {there.Limits, asked.Limits}} {
		wanted, ok := pair[1]["memory"]
		if !ok {
			continue
		}
		if is, had := pair[0]["memory"]; had && compare(wanted, is) < 0 {
			return High, fmt.Sprintf("memory %s → %s: less memory may kill the container", is, wanted)
		}
	}
	if _, limited := there.Limits["memory"]; !limited && asked.Limits["memory"] != "" {
		return High, "a first limit of memory may kill the container"
	}
	return Medium, "it restarts all pods with other resources"
}
