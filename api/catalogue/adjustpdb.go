package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// budget is a PodDisruptionBudget's bound: one of the two, as a number or as a percentage.
type budget struct {
	MinAvailable   *intstr.IntOrString `json:"minAvailable,omitempty"`
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

func (b budget) String() string {
	switch {
	case b.MinAvailable != nil:
		return "minAvailable " + b.MinAvailable.String()
	case b.MaxUnavailable != nil:
		return "maxUnavailable " + b.MaxUnavailable.String()
	}
	return "no bound"
}

type budgetState struct {
	Bound budget `json:"bound"`
	// Observed: its controller has counted with this bound.
	Observed bool `json:"observed"`
}

func adjustPDB() *Action {
	bound := func(description string) *jsonschema.Schema {
		return &jsonschema.Schema{Description: description + ": a number, or a percentage such as 50%", AnyOf: []*jsonschema.Schema{
			integer("", 0, maxReplicas), {Type: "string", Pattern: `^([0-9]|[1-9][0-9]|100)%$`},
		}}
	}
	schema := object(map[string]*jsonschema.Schema{
		"minAvailable": bound("pods that must stay available"), "maxUnavailable": bound("pods that may be missing"),
	})
	schema.OneOf = []*jsonschema.Schema{{Required: []string{"minAvailable"}}, {Required: []string{"maxUnavailable"}}}
	return entry[budget, budgetState]{
		name:  "adjust-pdb",
		words: Words{"high", "the bound as asked, and its controller has counted with it", "the former bound"}, summary: "Set how many pods a PodDisruptionBudget keeps available", kinds: []Kind{PodDisruptionBudget}, schema: schema,
		see: func(_ Case, _ budget, target []byte, _ [][]byte, _ budgetState) (budgetState, error) {
			live, err := decode[struct {
				Metadata objectMeta `json:"metadata"`
				Spec     budget     `json:"spec"`
				Status   struct {
					ObservedGeneration int64 `json:"observedGeneration"`
				} `json:"status"`
			}](target)
			if err == nil && live.Spec == (budget{}) {
				err = fmt.Errorf("%w: it has no bound that could be put back", ErrUnfit)
			}
			return budgetState{live.Spec, live.Status.ObservedGeneration >= live.Metadata.Generation}, err
		},
		same: func(judged, now budgetState) bool { return Equal(judged.Bound, now.Bound) },
		tier: func(Case, budget, budgetState) (Tier, string) {
			return High, "a budget guards availability against everything else"
		},
		predict: func(_ Case, p budget, _ budgetState) Prediction {
			return wants(time.Minute, map[string]any{"bound": p, "observed": true})
		},
		guard: func(_ Case, p budget, s budgetState) string {
			if !looser(s.Bound, p) {
				return ""
			}
			return looserBudget
		},
		inverse: func(_ Case, _ budget, s budgetState) *Undo {
			return &Undo{Action: "adjust-pdb", Parameters: encode(s.Bound)}
		},
		change: func(_ Case, _ Stamp, p budget, live liveObject[budgetState]) (Change, error) {
			if Equal(live.state.Bound, p) {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"spec": map[string]any{"minAvailable": p.MinAvailable, "maxUnavailable": p.MaxUnavailable}},
				"%s → %s", live.state.Bound, p), nil
		},
	}.action()
}
