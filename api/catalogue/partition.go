package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

type partitionParameters struct {
	Partition int32 `json:"partition"`
}

type partitionState struct {
	Partition int32 `json:"partition"`
	// Settled: every pod from the partition asked for upward is of the newest revision.
	Settled bool `json:"settled"`
}

func undoPartialRollout() *Action {
	return entry[partitionParameters, partitionState]{
		name:  "undo-partial-rollout",
		words: Words{"medium", "the partition as asked, and every pod above it updated", "the former partition"}, summary: "Set from which ordinal upward a StatefulSet's pods are updated",
		kinds: []Kind{StatefulSet},
		schema: object(map[string]*jsonschema.Schema{
			"partition": integer("lowest ordinal that is updated; pods below it keep their revision", 0, maxReplicas),
		}, "partition"),
		see: func(_ Case, p partitionParameters, target []byte, _ [][]byte, _ partitionState) (partitionState, error) {
			live, err := decode[struct {
				Metadata objectMeta `json:"metadata"`
				Spec     struct {
					Replicas       int32 `json:"replicas"`
					UpdateStrategy struct {
						Type          string `json:"type"`
						RollingUpdate struct {
							Partition int32 `json:"partition"`
						} `json:"rollingUpdate"`
					} `json:"updateStrategy"`
				} `json:"spec"`
				Status struct {
					ObservedGeneration int64 `json:"observedGeneration"`
					UpdatedReplicas    int32 `json:"updatedReplicas"`
				} `json:"status"`
			}](target)
			if err != nil {
				return partitionState{}, err
			}
			if strategy := live.Spec.UpdateStrategy.Type; strategy != "RollingUpdate" {
				return partitionState{}, fmt.Errorf("%w: its update strategy is %s, which has no partition", ErrUnfit, strategy)
			}
			return partitionState{Partition: live.Spec.UpdateStrategy.RollingUpdate.Partition,
				Settled: live.Status.ObservedGeneration >= live.Metadata.Generation &&
					live.Status.UpdatedReplicas >= live.Spec.Replicas-p.Partition}, nil
		},
		same: func(judged, now partitionState) bool { return judged.Partition == now.Partition },
		tier: func(Case, partitionParameters, partitionState) (Tier, string) {
			return Medium, "a partition decides which revision pods run"
		},
		predict: func(_ Case, p partitionParameters, _ partitionState) Prediction {
			return wants(10*time.Minute, map[string]any{"partition": p.Partition, "settled": true})
		},
		inverse: func(_ Case, _ partitionParameters, s partitionState) *Undo {
			return &Undo{Action: "undo-partial-rollout", Parameters: encode(partitionParameters{s.Partition})}
		},
		change: func(_ Case, _ Stamp, p partitionParameters, live liveObject[partitionState]) (Change, error) {
			if live.state.Partition == p.Partition {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"spec": map[string]any{"updateStrategy": map[string]any{"rollingUpdate": p}}},
				"partition %d → %d", live.state.Partition, p.Partition), nil
		},
	}.action()
}
