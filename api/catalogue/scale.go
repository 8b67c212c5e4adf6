package catalogue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

type scaleParameters struct {
	Replicas int32 `json:"replicas"`
}

// maxReplicas bounds every scale; policies set lower bounds.
const maxReplicas = 10000

func scale() *Action {
	return &Action{
		Name:    "scale",
		Words:   Words{"low within ±50 % and 5 pods; medium beyond; high to zero, and for a StatefulSet downward", "the wanted number of pods is ready", "scale to the former number"},
		Summary: "Set the number of replicas of a Deployment, StatefulSet or ReplicaSet",
		Kinds:   []Kind{Deployment, StatefulSet, ReplicaSet},
		Schema: object(map[string]*jsonschema.Schema{
			"replicas": integer("number of pods wanted", 0, maxReplicas),
		}, "replicas"),
		Deadline: 30 * time.Second,
		Rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "scale", c.Target.Name, "get", "patch")}
		},
		Tier: scaleTier,
		Predict: func(c Case) Prediction {
			return Prediction{Expect: ReadyReplicas, Replicas: parameters[scaleParameters](c).Replicas,
				AfterGeneration: c.Facts.Generation, WithinSeconds: 300}
		},
		Inverse: func(c Case) *Undo {
			return &Undo{Action: "scale", Parameters: encode(scaleParameters{Replicas: c.Facts.Replicas})}
		},
		Reads: func(c Case) []Read {
			return []Read{{Kind: c.Kind, Name: c.Target.Name, Subresource: "scale"}}
		},
		Change: scaleChange,
	}
}

// scaleTier: low within ±50 % and 5 pods; high to zero, and from a StatefulSet downward; medium beyond.
func scaleTier(c Case) (Tier, string) {
	asked, now := parameters[scaleParameters](c).Replicas, c.Facts.Replicas
	delta := asked - now
	if delta < 0 {
		delta = -delta
	}
	switch {
	case asked == 0:
		return High, "a scale to zero stops the workload"
	case c.Kind == StatefulSet && asked < now:
		return High, "a StatefulSet scaled down loses members"
	case delta <= 5 && 2*delta <= now:
		return Low, fmt.Sprintf("%d → %d is within 50 %% and 5 pods", now, asked)
	}
	return Medium, fmt.Sprintf("%d → %d is beyond 50 %% or 5 pods", now, asked)
}

func scaleChange(c Case, _ Stamp, read [][]byte) (Change, error) {
	var live struct {
		Metadata objectMeta `json:"metadata"`
		Spec     struct {
			Replicas int32 `json:"replicas"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(read[0], &live); err != nil {
		return Change{}, fmt.Errorf("reading the scale: %w", err)
	}
	if live.Metadata.UID != c.Target.UID {
		return Change{}, fmt.Errorf("%w: it was deleted and made again", ErrTargetChanged)
	}
	asked := parameters[scaleParameters](c).Replicas
	if live.Spec.Replicas != c.Facts.Replicas {
		return Change{}, fmt.Errorf("%w: it had %d replicas, now %d", ErrTargetChanged, c.Facts.Replicas, live.Spec.Replicas)
	}
	if live.Spec.Replicas == asked {
		return Change{}, ErrNothingToDo
	}
	return Change{
		Kind: c.Kind, Name: c.Target.Name, Subresource: "scale", PatchType: mergePatch,
		Body: encode(map[string]any{"metadata": live.Metadata.locks(), "spec": scaleParameters{Replicas: asked}}),
		Says: fmt.Sprintf("replicas %d → %d", live.Spec.Replicas, asked),
	}, nil
}
