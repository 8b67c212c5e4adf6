package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

type graceParameters struct {
	GraceSeconds *int64 `json:"graceSeconds,omitempty"`
}

// podState is what deleting a pod is judged on: who will replace it, and whether that has happened.
type podState struct {
	Controller ref `json:"controller"`
	// Replaced: the controller has all of its pods, and they are ready.
	Replaced    bool   `json:"replaced"`
	Terminating string `json:"terminating,omitempty"` // since when, RFC 3339
	Node        string `json:"node,omitempty"`
	NodeLost    bool   `json:"nodeLost,omitempty"`
}

// ref names an object of the same namespace.
type ref struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

func deletePod() *Action {
	return entry[graceParameters, podState]{
		name:  "delete-pod",
		words: Words{"low; high with a grace of 0 s", "gone, and its controller complete", "none"}, summary: "Delete a pod that a controller replaces", kinds: []Kind{Pod},
		schema: object(map[string]*jsonschema.Schema{
			"graceSeconds": integer("seconds to end in; what the pod asks for if left out, 0 kills at once", 0, 300),
		}),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Pod, "", c.Target.Name, "get", "delete")}
		},
		look: lookAtController, gets: controllers(), see: seePod[graceParameters], same: samePod, effect: Deletes,
		tier: func(_ Case, p graceParameters, _ podState) (Tier, string) {
			if p.GraceSeconds != nil && *p.GraceSeconds == 0 {
				return High, "a grace of 0 s ends it without a chance to finish"
			}
			return Low, "its controller replaces it"
		},
		predict: replacement[graceParameters],
		change: func(_ Case, _ Stamp, p graceParameters, live liveObject[podState]) (Change, error) {
			if live.state.Terminating != "" {
				return Change{}, ErrNothingToDo
			}
			grace := "as it asks for"
			if p.GraceSeconds != nil {
				grace = fmt.Sprintf("%d s", *p.GraceSeconds)
			}
			return live.deleted(deleteOptions{GracePeriodSeconds: p.GraceSeconds}, "delete, grace %s", grace), nil
		},
	}.action()
}

func evictPod() *Action {
	return entry[struct{}, podState]{
		name:  "evict-pod",
		words: Words{"low", "gone, and its controller complete", "none"}, summary: "Evict a pod that a controller replaces, as its PodDisruptionBudgets allow", kinds: []Kind{Pod}, schema: object(nil),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Pod, "", c.Target.Name, "get"), rule(Pod, "eviction", c.Target.Name, "create")}
		},
		look: lookAtController, gets: controllers(), see: seePod[struct{}], same: samePod, effect: Deletes,
		tier: func(Case, struct{}, podState) (Tier, string) {
			return Low, "budgets are honoured, and its controller replaces it"
		},
		predict: replacement[struct{}],
		change: func(c Case, _ Stamp, _ struct{}, live liveObject[podState]) (Change, error) {
			if live.state.Terminating != "" {
				return Change{}, ErrNothingToDo
			}
			return Change{Verb: Create, Kind: Pod, Name: c.Target.Name, Subresource: "eviction", Says: "evict",
				Body: encode(map[string]any{"apiVersion": "policy/v1", "kind": "Eviction",
					"metadata":      map[string]string{"name": c.Target.Name, "namespace": c.Target.Namespace},
					"deleteOptions": deleteOptions{Preconditions: live.locks()}})}, nil
		},
	}.action()
}

// deleteOptions are those of the API (meta/v1) that are used.
type deleteOptions struct {
	GracePeriodSeconds *int64            `json:"gracePeriodSeconds,omitempty"`
	PropagationPolicy  string            `json:"propagationPolicy,omitempty"`
	Preconditions      map[string]string `json:"preconditions"`
}

// deleted deletes the target, if it has not changed since it was read.
func (l liveObject[S]) deleted(options deleteOptions, says string, of ...any) Change {
	options.Preconditions = l.locks()
	return Change{Verb: Delete, Body: encode(options), Says: fmt.Sprintf(says, of...)}
}

// replacement predicts that the pod is gone and its controller complete.
func replacement[P any](Case, P, podState) Prediction {
	return Prediction{Expect: Gone, Want: encode(map[string]any{"replaced": true}), WithinSeconds: int64((10 * time.Minute).Seconds())}
}

func samePod(judged, now podState) bool {
	return judged.Controller == now.Controller && judged.Terminating == now.Terminating
}

// controllers are the kinds that replace a pod.
func controllers() []Kind { return []Kind{ReplicaSet, StatefulSet, DaemonSet, Job} }

func kindOf(r ref) (Kind, bool) {
	return Find(controllers(), Target{APIVersion: r.APIVersion, Kind: r.Kind})
}

func lookAtController(_ Case, target []byte, judged podState) []Read {
	owner := judged.Controller
	if target != nil {
		owner, _ = controllerOf(target)
	}
	kind, ok := kindOf(owner)
	if !ok {
		return nil
	}
	return []Read{{Kind: kind, Name: owner.Name}}
}

func controllerOf(target []byte) (ref, error) {
	live, err := decode[struct {
		Metadata struct {
			OwnerReferences []struct {
				ref
				Controller bool `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
	}](target)
	for _, owner := range live.Metadata.OwnerReferences {
		if owner.Controller {
			return owner.ref, err
		}
	}
	return ref{}, err
}

func seePod[P any](_ Case, _ P, target []byte, looked [][]byte, judged podState) (podState, error) {
	s := judged
	s.Replaced = len(looked) == 1 && complete(looked[0])
	if target == nil {
		return s, nil
	}
	live, err := decode[struct {
		Metadata struct {
			DeletionTimestamp string `json:"deletionTimestamp"`
		} `json:"metadata"`
		Spec struct {
			NodeName string `json:"nodeName"`
		} `json:"spec"`
	}](target)
	if err != nil {
		return s, err
	}
	s.Terminating, s.Node = live.Metadata.DeletionTimestamp, live.Spec.NodeName
	if s.Controller, err = controllerOf(target); err != nil {
		return s, err
	}
	if _, ok := kindOf(s.Controller); !ok {
		return s, fmt.Errorf("%w: no controller would replace it", ErrUnfit)
	}
	return s, nil
}

// complete reports whether a controller has all of the pods that it wants, ready.
func complete(controller []byte) bool {
	live, err := decode[struct {
		Spec struct {
			Replicas    *int32 `json:"replicas"`
			Parallelism *int32 `json:"parallelism"` // of a Job
		} `json:"spec"`
		Status struct {
			ReadyReplicas int32       `json:"readyReplicas"`
			Desired       int32       `json:"desiredNumberScheduled"`
			NumberReady   int32       `json:"numberReady"`
			Ready         int32       `json:"ready"` // of a Job
			Conditions    []condition `json:"conditions"`
		} `json:"status"`
	}](controller)
	switch {
	case err != nil || controller == nil:
		return false
	case live.Spec.Parallelism != nil:
		return live.Status.Ready >= *live.Spec.Parallelism || isTrue(live.Status.Conditions, "Complete")
	case live.Spec.Replicas != nil:
		return live.Status.ReadyReplicas >= *live.Spec.Replicas
	}
	return live.Status.NumberReady >= live.Status.Desired
}
