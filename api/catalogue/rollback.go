package catalogue

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// revisionAnnotation is where the Deployment controller writes a ReplicaSet's revision.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// templateHashLabel is set by the Deployment controller on a ReplicaSet's template and belongs to no Deployment.
const templateHashLabel = "pod-template-hash"

type rollbackParameters struct {
	Revision int64 `json:"revision,omitempty"`
}

func rollback() *Action {
	return &Action{
		Name:    "rollback",
		Words:   Words{"medium", "the pod template of that revision is fully available", "rollback to the revision before"},
		Summary: "Put a Deployment, StatefulSet or DaemonSet back to an earlier revision of its pod template",
		Kinds:   []Kind{Deployment, StatefulSet, DaemonSet},
		Schema: object(map[string]*jsonschema.Schema{
			"revision": integer("revision to go back to; the last healthy one if left out", 1, 1<<53),
		}),
		Deadline: 30 * time.Second,
		Rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get", "patch"), rule(history(c.Kind), "", "", "list")}
		},
		Tier: func(c Case) (Tier, string) { return Medium, "a rollback changes what runs" },
		Predict: func(c Case) Prediction {
			return Prediction{Expect: Available, AfterGeneration: c.Facts.Generation, WithinSeconds: 600}
		},
		Inverse: func(c Case) *Undo {
			return &Undo{Action: "rollback", Parameters: encode(rollbackParameters{Revision: c.Facts.Revision})}
		},
		Reads: func(c Case) []Read {
			return []Read{{Kind: c.Kind, Name: c.Target.Name}, {Kind: history(c.Kind)}}
		},
		Change: rollbackChange,
	}
}

// history is the kind in which a workload kind keeps its revisions.
func history(k Kind) Kind {
	if k == Deployment {
		return ReplicaSet
	}
	return controllerRevisions
}

// wantedRevision is the one asked for, or the last healthy one that the spoke saw; 0 where there is none.
func wantedRevision(c Case) int64 {
	if asked := parameters[rollbackParameters](c).Revision; asked != 0 {
		return asked
	}
	return c.Facts.HealthyRevision
}

func rollbackChange(c Case, _ Stamp, read [][]byte) (Change, error) {
	live, err := unchanged(c, read[0])
	if err != nil {
		return Change{}, err
	}
	wanted := wantedRevision(c)
	switch wanted {
	case 0:
		return Change{}, fmt.Errorf("%w: it has no earlier revision", ErrTargetChanged)
	case c.Facts.Revision:
		return Change{}, ErrNothingToDo
	}
	template, err := templateOf(c, wanted, read[1])
	if err != nil {
		return Change{}, err
	}
	return Change{
		Kind: c.Kind, Name: c.Target.Name, PatchType: jsonPatch,
		Body: encode([]map[string]any{
			{"op": "test", "path": "/metadata/uid", "value": live.UID},
			{"op": "test", "path": "/metadata/resourceVersion", "value": live.ResourceVersion},
			{"op": "replace", "path": "/spec/template", "value": template},
		}),
		Says: fmt.Sprintf("pod template of revision %d → revision %d", c.Facts.Revision, wanted),
	}, nil
}

type revisionObject struct {
	Metadata objectMeta `json:"metadata"`
	Revision int64      `json:"revision"` // of a ControllerRevision
	Data     struct {
		Spec struct {
			Template map[string]any `json:"template"`
		} `json:"spec"`
	} `json:"data"`
	Spec struct {
		Template map[string]any `json:"template"` // of a ReplicaSet
	} `json:"spec"`
}

// templateOf finds the pod template of a revision among the history objects that the target controls.
func templateOf(c Case, revision int64, list []byte) (map[string]any, error) {
	var found struct {
		Items []revisionObject `json:"items"`
	}
	if err := json.Unmarshal(list, &found); err != nil {
		return nil, fmt.Errorf("reading the revisions: %w", err)
	}
	for _, item := range found.Items {
		if !item.Metadata.controlledBy(c.Target.UID) {
			continue
		}
		if c.Kind == Deployment && item.Metadata.Annotations[revisionAnnotation] == strconv.FormatInt(revision, 10) {
			return withoutHash(item.Spec.Template), nil
		}
		if c.Kind != Deployment && item.Revision == revision {
			delete(item.Data.Spec.Template, "$patch")
			return item.Data.Spec.Template, nil
		}
	}
	return nil, fmt.Errorf("%w: revision %d is no longer kept", ErrTargetChanged, revision)
}

func withoutHash(template map[string]any) map[string]any {
	if metadata, ok := template["metadata"].(map[string]any); ok {
		if labels, ok := metadata["labels"].(map[string]any); ok {
			delete(labels, templateHashLabel)
		}
	}
	return template
}
