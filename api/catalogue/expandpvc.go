package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

type sizeParameters struct {
	Size string `json:"size"`
}

type claimState struct {
	Requested string `json:"requested"`
	// Reached: the volume has the size asked for.
	Reached bool `json:"reached"`
}

func expandPVC() *Action {
	return entry[sizeParameters, claimState]{
		name:  "expand-pvc",
		words: Words{"medium", "the volume has the size", "none: a volume never shrinks"}, summary: "Enlarge a PersistentVolumeClaim, where its StorageClass allows it", kinds: []Kind{PersistentVolumeClaim},
		schema: object(map[string]*jsonschema.Schema{"size": text("size wanted, such as 20Gi", quantities, 20)}, "size"),
		gets:   []Kind{storageClasses},
		look: func(_ Case, target []byte, _ claimState) []Read {
			live, err := decode[claim](target)
			if err != nil || live.Spec.StorageClassName == "" {
				return nil
			}
			return []Read{{Kind: storageClasses, Name: live.Spec.StorageClassName}}
		},
		see:  seeClaim,
		same: func(judged, now claimState) bool { return judged.Requested == now.Requested },
		tier: func(Case, sizeParameters, claimState) (Tier, string) { return Medium, "a volume never shrinks again" },
		predict: func(Case, sizeParameters, claimState) Prediction {
			return wants(10*time.Minute, map[string]any{"reached": true})
		},
		change: func(_ Case, _ Stamp, p sizeParameters, live liveObject[claimState]) (Change, error) {
			if compare(p.Size, live.state.Requested) == 0 {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"spec": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": p.Size}}}},
				"size %s → %s", live.state.Requested, p.Size), nil
		},
	}.action()
}

type claim struct {
	Spec struct {
		StorageClassName string    `json:"storageClassName"`
		Resources        resources `json:"resources"`
	} `json:"spec"`
	Status struct {
		Phase    string            `json:"phase"`
		Capacity map[string]string `json:"capacity"`
	} `json:"status"`
}

func seeClaim(_ Case, p sizeParameters, target []byte, looked [][]byte, _ claimState) (claimState, error) {
	live, err := decode[claim](target)
	if err != nil {
		return claimState{}, err
	}
	requested := live.Spec.Resources.Requests["storage"]
	s := claimState{Requested: requested, Reached: live.Status.Capacity["storage"] != "" && compare(live.Status.Capacity["storage"], p.Size) >= 0}
	switch {
	case live.Status.Phase != "Bound":
		return s, fmt.Errorf("%w: it is not bound", ErrUnfit)
	case compare(p.Size, requested) < 0:
		return s, fmt.Errorf("%w: %s is less than the %s it has", ErrUnfit, p.Size, requested)
	case exceeds(p.Size, requested, maxFactor):
		return s, fmt.Errorf("%w: %s is more than %d times %s", ErrUnfit, p.Size, maxFactor, requested)
	case looked == nil && live.Spec.StorageClassName != "":
		return s, nil // the class was looked at when the action was judged, and the API server asks it again
	}
	allowed := false
	if len(looked) == 1 && looked[0] != nil {
		class, err := decode[struct {
			AllowVolumeExpansion bool `json:"allowVolumeExpansion"`
		}](looked[0])
		if err != nil {
			return s, err
		}
		allowed = class.AllowVolumeExpansion
	}
	if !allowed {
		return s, fmt.Errorf("%w: its StorageClass does not allow to enlarge it", ErrUnfit)
	}
	return s, nil
}
