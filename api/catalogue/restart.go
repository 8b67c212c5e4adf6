package catalogue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// restartedAt is the annotation that kubectl rollout restart sets; kubectl's own history shows it.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

func rolloutRestart() *Action {
	return &Action{
		Name:     "rollout-restart",
		Words:    Words{"low; medium for one replica, or where a PodDisruptionBudget has no headroom", "the new generation is fully available", "none"},
		Summary:  "Replace every pod of a Deployment, StatefulSet or DaemonSet, as its update strategy allows",
		Kinds:    []Kind{Deployment, StatefulSet, DaemonSet},
		Schema:   object(map[string]*jsonschema.Schema{}),
		Deadline: 30 * time.Second,
		Rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get", "patch")}
		},
		Tier: func(c Case) (Tier, string) {
			switch {
			case c.Facts.Replicas <= 1:
				return Medium, "a workload of one replica has a gap while it restarts"
			case c.Facts.DisruptionsAllowed != nil && *c.Facts.DisruptionsAllowed < 1:
				return Medium, "its PodDisruptionBudget has no headroom"
			}
			return Low, "more than one replica, and headroom"
		},
		Predict: func(c Case) Prediction {
			return Prediction{Expect: Available, AfterGeneration: c.Facts.Generation, WithinSeconds: 600}
		},
		Inverse: func(Case) *Undo { return nil },
		Reads:   func(c Case) []Read { return []Read{{Kind: c.Kind, Name: c.Target.Name}} },
		Change: func(c Case, stamp Stamp, read [][]byte) (Change, error) {
			live, err := unchanged(c, read[0])
			if err != nil {
				return Change{}, err
			}
			at := stamp.At.UTC().Format(time.RFC3339)
			return Change{
				Kind: c.Kind, Name: c.Target.Name, PatchType: mergePatch,
				Body: encode(map[string]any{
					"metadata": live.locks(),
					"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
						"annotations": map[string]string{restartedAt: at},
					}}},
				}),
				Says: "restart all pods",
			}, nil
		},
	}
}

// unchanged checks that a whole object, as read, is the one that the order was judged on: same UID, same generation.
func unchanged(c Case, read []byte) (objectMeta, error) {
	var live struct {
		Metadata objectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(read, &live); err != nil {
		return objectMeta{}, fmt.Errorf("reading the target: %w", err)
	}
	if live.Metadata.UID != c.Target.UID {
		return objectMeta{}, fmt.Errorf("%w: it was deleted and made again", ErrTargetChanged)
	}
	if live.Metadata.Generation != c.Facts.Generation {
		return objectMeta{}, fmt.Errorf("%w: generation %d was judged, it is %d now; ask again", ErrTargetChanged,
			c.Facts.Generation, live.Metadata.Generation)
	}
	return live.Metadata, nil
}
