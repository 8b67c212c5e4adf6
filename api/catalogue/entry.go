package catalogue

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// entry is an action on one object, written down with types: its parameters decode into P, and S is what it sees of the
// target. Everything that the actions of this form have in common is here: what is judged must still be there when the
// change is made.
type entry[P, S any] struct {
	name, summary string
	words         Words
	kinds         []Kind
	schema        *jsonschema.Schema
	deadline      time.Duration // 30 s where 0
	// rules are get and patch of the target where nil.
	rules func(c Case) []rbacv1.PolicyRule
	look  func(c Case, target []byte, judged S) []Read
	// gets and lists are all kinds that look may name.
	gets, lists []Kind
	// see is given no target where it is gone, with what was judged; and nothing looked at when a change is computed.
	see     func(c Case, p P, target []byte, looked [][]byte, judged S) (S, error)
	same    func(judged, now S) bool // whether the change may be made; equality where nil
	tier    func(c Case, p P, s S) (Tier, string)
	predict func(c Case, p P, s S) Prediction
	inverse func(c Case, p P, s S) *Undo // nil for none
	change  func(c Case, stamp Stamp, p P, live liveObject[S]) (Change, error)
	guard   func(c Case, p P, s S) string
	effect  Effect
	made    func(Case) Read
	follows bool
	// rehearsed whatever the tier.
	rehearsed bool
}

// liveObject is the target as it was read with the action's credential, unchanged since it was judged.
type liveObject[S any] struct {
	objectMeta
	order string // the order's ID
	raw   []byte
	state S
}

func (e entry[P, S]) action() *Action {
	a := &Action{Name: e.name, Summary: e.summary, Words: e.words, Kinds: e.kinds, Schema: e.schema, Deadline: e.deadline, Rules: e.rules,
		Effect: e.effect, Made: e.made, Follows: e.follows, Rehearsed: e.rehearsed, Gets: e.gets, Lists: e.lists, Inverse: func(Case) *Undo { return nil }}
	if a.Deadline == 0 {
		a.Deadline = 30 * time.Second
	}
	if a.Rules == nil {
		a.Rules = func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get", "patch")}
		}
	}
	if e.look != nil {
		a.Look = func(c Case, target []byte) []Read { return e.look(c, target, stateOf[S](c.Facts)) }
	}
	a.See = func(c Case, target []byte, looked [][]byte) (json.RawMessage, error) {
		s, err := e.see(c, parameters[P](c), target, looked, stateOf[S](c.Facts))
		if err != nil {
			return nil, err
		}
		return encode(s), nil
	}
	a.Tier = func(c Case) (Tier, string) { return e.tier(c, parameters[P](c), stateOf[S](c.Facts)) }
	a.Predict = func(c Case) Prediction { return e.predict(c, parameters[P](c), stateOf[S](c.Facts)) }
	if e.inverse != nil {
		a.Inverse = func(c Case) *Undo { return e.inverse(c, parameters[P](c), stateOf[S](c.Facts)) }
	}
	if e.guard != nil {
		a.Guard = func(c Case) string { return e.guard(c, parameters[P](c), stateOf[S](c.Facts)) }
	}
	a.Reads = func(c Case) []Read { return []Read{{Kind: c.Kind, Name: c.Target.Name}} }
	a.Change = func(c Case, stamp Stamp, read [][]byte) (Change, error) {
		live, err := e.live(c, read[0])
		if err != nil {
			return Change{}, err
		}
		change, err := e.change(c, stamp, parameters[P](c), live)
		if change.Kind == (Kind{}) {
			change.Kind, change.Name = c.Kind, c.Target.Name
		}
		return change, err
	}
	return a
}

// live checks that the target, as read, is the one that was judged and still as it was.
func (e entry[P, S]) live(c Case, raw []byte) (liveObject[S], error) {
	live, judged := liveObject[S]{order: c.OrderID, raw: raw}, stateOf[S](c.Facts)
	var err error
	if live.objectMeta, err = sameObject(c, raw); err != nil {
		return live, err
	}
	if live.state, err = e.see(c, parameters[P](c), raw, nil, judged); err != nil {
		return live, fmt.Errorf("%w: %w", ErrTargetChanged, err)
	}
	same := e.same
	if same == nil {
		same = func(judged, now S) bool { return Equal(judged, now) }
	}
	if !same(judged, live.state) {
		return live, fmt.Errorf("%w: %s was judged, it is %s now; ask again", ErrTargetChanged, encode(judged), encode(live.state))
	}
	return live, nil
}

// sameObject checks the UID alone.
func sameObject(c Case, raw []byte) (objectMeta, error) {
	var live struct {
		Metadata objectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &live); err != nil {
		return objectMeta{}, fmt.Errorf("reading the target: %w", err)
	}
	if live.Metadata.UID != c.Target.UID {
		return objectMeta{}, fmt.Errorf("%w: it was deleted and made again", ErrTargetChanged)
	}
	return live.Metadata, nil
}

// stateOf decodes what See made; the zero value where there is none.
func stateOf[S any](f Facts) S {
	var s S
	_ = json.Unmarshal(f.State, &s)
	return s
}

// wants is a prediction about the state alone.
func wants(within time.Duration, want map[string]any) Prediction {
	return Prediction{Expect: State, Want: encode(want), WithinSeconds: int64(within.Seconds())}
}

// merged is a merge patch that the API server refuses if the object has changed since it was read.
func (l liveObject[S]) merged(patch map[string]any, says string, of ...any) Change {
	return l.patched(mergePatch, patch, says, of...)
}

// strategic is a patch that finds list items, such as containers, by their names.
func (l liveObject[S]) strategic(patch map[string]any, says string, of ...any) Change {
	return l.patched(strategicPatch, patch, says, of...)
}

// patched marks the object with the order's ID as well: a patch that only takes something away leaves no field whose manager
// could tell afterwards that it was made.
func (l liveObject[S]) patched(kind string, patch map[string]any, says string, of ...any) Change {
	metadata, _ := patch["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["uid"], metadata["resourceVersion"] = l.UID, l.ResourceVersion
	annotations, _ := metadata["annotations"].(map[string]*string)
	annotations = maps.Clone(annotations)
	if annotations == nil {
		annotations = map[string]*string{}
	}
	annotations[OrderAnnotation] = &l.order
	metadata["annotations"] = annotations
	patch["metadata"] = metadata
	return Change{PatchType: kind, Body: encode(patch), Says: fmt.Sprintf(says, of...)}
}

// decode reads a part of an object.
func decode[T any](raw []byte) (T, error) {
	var t T
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("reading an object: %w", err)
	}
	return t, nil
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// marked begins a JSON patch that only takes something away: it marks the object with the order's ID, as patched does.
func (l liveObject[S]) marked() []operation {
	if l.Annotations == nil {
		return append(l.tests(), operation{"add", "/metadata/annotations", map[string]string{OrderAnnotation: l.order}})
	}
	return append(l.tests(), operation{"add", "/metadata/annotations/" + strings.ReplaceAll(OrderAnnotation, "/", "~1"), l.order})
}

// tests begin a JSON patch that the API server refuses if the object has changed since it was read.
func (m objectMeta) tests() []operation {
	return []operation{{"test", "/metadata/uid", m.UID}, {"test", "/metadata/resourceVersion", m.ResourceVersion}}
}
