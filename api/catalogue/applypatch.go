package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// maxPatch bounds a patch, in bytes of JSON.
const maxPatch = 8 << 10

// patchParameters are the fields to apply (Kubernetes' server-side apply), and by what it is told that they had their effect.
type patchParameters struct {
	Patch  map[string]any `json:"patch"`
	Expect patchExpected  `json:"expect"`
	// InPlaceOf is the order whose fields these take the place of: what that one applied and is not here is gone.
	InPlaceOf string `json:"inPlaceOf,omitempty"`
}

type patchExpected struct {
	Condition string `json:"condition,omitempty"`
	Field     string `json:"field,omitempty"`
	Value     any    `json:"value,omitempty"`
}

var (
	// environment are the keys of what a container finds in its environment.
	environment = []string{"env", "envFrom"}
	// beyond are the keys of what no patch gives a workload: Secrets, another account.
	beyond = []string{"secret", "secretName", "secretRef", "secretKeyRef", "imagePullSecrets", "serviceAccount", "serviceAccountName"}
)

type patchState struct {
	// Former are the fields of the patch as they are, without those that are not there.
	Former map[string]any `json:"former"`
	// Seen is the status of the condition, or the value of the field.
	Seen any `json:"seen"`
	// Current: the controller has seen the newest generation.
	Current bool `json:"current"`

	applied bool // every field is as asked
}

func applyPatch() *Action {
	marks := func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: "object", Description: "keys outside the prefixes of Kubernetes and Writ",
			AdditionalProperties: &jsonschema.Schema{Type: "string"}}
	}
	of := object(map[string]*jsonschema.Schema{
		"patch": object(map[string]*jsonschema.Schema{
			"metadata": object(map[string]*jsonschema.Schema{"labels": marks(), "annotations": marks()}),
			"spec":     {Type: "object", Description: "fields of the spec, as server-side apply takes them"},
			"data":     {Type: "object", Description: "of a ConfigMap"},
		}),
		"expect": object(map[string]*jsonschema.Schema{
			"condition": text("type of a condition that becomes True", `^[A-Za-z][A-Za-z0-9]*$`, 63),
			"field":     text("path of a field, without lists, such as status.readyReplicas", `^[a-zA-Z0-9]+(\.[a-zA-Z0-9]+){0,9}$`, 253),
			"value":     {Description: "what the field must be"},
		}),
		"inPlaceOf": text("order that was applied before, and whose fields these take the place of", `^order-[-a-z0-9.]+$`, 253),
	}, "patch", "expect")
	return entry[patchParameters, patchState]{
		name: "apply-patch", summary: "Apply fields to an object (server-side apply), where no other action does what is needed", schema: of, rehearsed: true,
		kinds: []Kind{Deployment, StatefulSet, DaemonSet, CronJob, Service, ConfigMap, PersistentVolumeClaim, ResourceQuota, HorizontalPodAutoscaler,
			PodDisruptionBudget, NetworkPolicy},
		words: Words{"high", "the condition is True, or the field as asked", "the former fields, in place of those applied; an undo by none"},
		see:   seePatch,
		same:  func(judged, now patchState) bool { return Equal(judged.Former, now.Former) },
		tier:  func(Case, patchParameters, patchState) (Tier, string) { return High, "a patch can be anything" },
		predict: func(c Case, p patchParameters, _ patchState) Prediction {
			want := map[string]any{"seen": p.Expect.Value, "current": true}
			if p.Expect.Condition != "" {
				want["seen"] = "True"
			}
			prediction := wants(5*time.Minute, want)
			if p.Patch["spec"] != nil {
				prediction.AfterGeneration = c.Facts.Generation
			}
			return prediction
		},
		inverse: func(c Case, p patchParameters, s patchState) *Undo {
			if c.OrderID == "" || p.InPlaceOf != "" {
				return nil
			}
			if p.Expect.Field != "" {
				p.Expect.Value = s.Seen
			}
			return &Undo{Action: "apply-patch", Parameters: encode(patchParameters{s.Former, p.Expect, c.OrderID})}
		},
		change: func(c Case, _ Stamp, p patchParameters, live liveObject[patchState]) (Change, error) {
			if live.state.applied && p.InPlaceOf == "" {
				return Change{}, ErrNothingToDo
			}
			body, err := decode[map[string]any](encode(p.Patch)) // a copy
			if err != nil {
				return Change{}, err
			}
			body["apiVersion"], body["kind"] = c.Kind.APIVersion, c.Kind.Kind
			metadata := below(body, "metadata")
			metadata["name"], metadata["uid"], metadata["resourceVersion"] = c.Target.Name, live.UID, live.ResourceVersion
			below(metadata, "annotations")[OrderAnnotation] = live.order
			return Change{PatchType: ApplyPatch, Body: encode(body), InPlaceOf: p.InPlaceOf, Says: fmt.Sprintf("apply %s", encode(p.Patch))}, nil
		},
	}.action()
}

func seePatch(c Case, p patchParameters, target []byte, _ [][]byte, _ patchState) (patchState, error) {
	if err := p.check(); err != nil {
		return patchState{}, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	live, err := decode[map[string]any](target)
	if err != nil {
		return patchState{}, err
	}
	former, _ := pick(p.Patch, live).(map[string]any)
	if sets(former, environment...) {
		return patchState{}, fmt.Errorf("%w: the patch takes the place of an environment, which may hold passwords", ErrUnfit)
	}
	s := patchState{Former: former, Current: true, applied: Equal(former, p.Patch)}
	status, _ := live["status"].(map[string]any)
	metadata, _ := live["metadata"].(map[string]any)
	if seen, ok := status["observedGeneration"].(float64); ok {
		generation, _ := metadata["generation"].(float64)
		s.Current = seen >= generation
	}
	if p.Expect.Field != "" {
		s.Seen, err = fieldOf(live, p.Expect.Field)
		return s, err
	}
	conditions, err := decode[[]condition](encode(orNone(status["conditions"])))
	for _, one := range conditions {
		if one.Type == p.Expect.Condition {
			s.Seen = one.Status
		}
	}
	return s, err
}

// below is the object under a key, made where there is none.
func below(object map[string]any, key string) map[string]any {
	there, ok := object[key].(map[string]any)
	if !ok {
		there = map[string]any{}
		object[key] = there
	}
	return there
}

func orNone(list any) any {
	if list == nil {
		return []any{}
	}
	return list
}

// check refuses a patch that cannot be meant, or that would show or change what no patch may.
func (p patchParameters) check() error {
	switch {
	case len(p.Patch) == 0 && p.InPlaceOf == "":
		return fmt.Errorf("the patch is empty")
	case (p.Expect.Condition == "") == (p.Expect.Field == ""):
		return fmt.Errorf("expect names either a condition or a field")
	case len(encode(p.Patch)) > maxPatch:
		return fmt.Errorf("the patch is longer than %d KiB", maxPatch>>10)
	case sets(p.Patch["spec"], environment...):
		return fmt.Errorf("a patch sets no environment, which may hold passwords: see set-env")
	case sets(p.Patch["spec"], beyond...):
		return fmt.Errorf("a patch gives no workload a Secret or another account")
	}
	metadata, _ := p.Patch["metadata"].(map[string]any)
	for _, marks := range metadata {
		keys, _ := marks.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if reserved(key) {
				return fmt.Errorf("the key %s is reserved", key)
			}
		}
	}
	return nil
}

// sets reports whether a value has one of these keys anywhere.
func sets(v any, keys ...string) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if slices.Contains(keys, key) || sets(value, keys...) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return sets(one, keys...) })
	}
	return false
}

// pick is what of live has the shape of the patch: the same keys, and of lists of named objects those with the same names. Other
// lists are taken whole.
func pick(patch, live any) any {
	switch p := patch.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return live
		}
		picked := map[string]any{}
		for key, value := range p {
			if there, ok := l[key]; ok {
				picked[key] = pick(value, there)
			}
		}
		return picked
	case []any:
		if l, ok := live.([]any); ok && len(p) > 0 && allNamed(p) && allNamed(l) {
			return pickNamed(p, l)
		}
	}
	return live
}

func pickNamed(patch, live []any) any {
	picked := []any{}
	for _, value := range patch {
		i := slices.IndexFunc(live, func(l any) bool { return nameOf(l) == nameOf(value) })
		if i >= 0 {
			picked = append(picked, pick(value, live[i]))
		}
	}
	return picked
}

func allNamed(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { return nameOf(v) == "" })
}

func nameOf(v any) string {
	m, _ := v.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

// fieldOf follows a dotted path to a single value; nil where it leads nowhere.
func fieldOf(live any, path string) (any, error) {
	for key := range strings.SplitSeq(path, ".") {
		m, _ := live.(map[string]any)
		live = m[key]
	}
	switch live.(type) {
	case map[string]any, []any:
		return nil, fmt.Errorf("%w: %s is no single value", ErrUnfit, path)
	}
	return live, nil
}
