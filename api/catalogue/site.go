package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// SitePrefix begins the names of actions that a site has defined itself. No action of the catalogue's own begins so.
const SitePrefix = "site-"

// Reserved reports whether a key of a label or an annotation belongs to Kubernetes, to a tool that owns objects by it, or to Writ.
func Reserved(key string) bool { return reserved(key) }

// Site is what makes an action that a site has defined: on one kind, it sets named fields to values that are a function of the
// parameters and of what is seen of the target, and of nothing else. So every judge computes them anew.
type Site struct {
	Name, Summary string
	Words         Words
	Kind          Kind
	Schema        *jsonschema.Schema
	// Paths are where in the target what the action sees lies, by name, as the parts of a JSON pointer (RFC 6901).
	Paths map[string][]string
	// Compute returns the values of the fields that the action sets, by name; nil for one that is to go. ErrUnfit where it cannot be
	// done with such parameters on such a target.
	Compute func(parameters, seen map[string]any) (map[string]any, error)
	// Inverse returns the parameters with which the action itself puts back what was seen; nil where there are none.
	Inverse func(parameters, seen map[string]any) map[string]any
	// Least is the tier that it demands, and Why.
	Least Tier
	Why   string
	// Within is how long the fields may take to be as computed.
	Within time.Duration
}

// Action makes the action. It fails where the schema cannot be resolved.
func (s Site) Action() (*Action, error) {
	a := entry[map[string]any, map[string]any]{
		name: s.Name, summary: s.Summary, words: s.Words, kinds: []Kind{s.Kind}, schema: s.Schema, rehearsed: true,
		see: s.see,
		tier: func(_ Case, p, seen map[string]any) (Tier, string) {
			if _, err := s.Compute(p, seen); err != nil {
				return High, fmt.Sprintf("what it would set cannot be computed: %v", err)
			}
			return s.Least, s.Why
		},
		predict: func(_ Case, p, seen map[string]any) Prediction {
			values, err := s.Compute(p, seen)
			if err != nil {
				return Prediction{Expect: State} // which never holds
			}
			return wants(s.Within, values)
		},
		inverse: func(_ Case, p, seen map[string]any) *Undo {
			if former := s.Inverse(p, seen); former != nil {
				return &Undo{Action: s.Name, Parameters: encode(former)}
			}
			return nil
		},
		change: s.change,
	}.action()
	resolved, err := s.Schema.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	a.resolved = resolved
	return a, nil
}

// see reads what lies at the paths. What the parameters make of that must be computable before anything is ordered; afterwards
// it is only looked at.
func (s Site) see(c Case, p map[string]any, target []byte, _ [][]byte, judged map[string]any) (map[string]any, error) {
	live, err := decode[map[string]any](target)
	if err != nil {
		return nil, err
	}
	if live["kind"] != c.Kind.Kind {
		return nil, fmt.Errorf("%w: the resource %s has no %s, it has a %v", ErrUnfit, c.Kind.Resource, c.Kind.Kind, live["kind"])
	}
	seen := make(map[string]any, len(s.Paths))
	for name, path := range s.Paths {
		if seen[name], err = at(live, path); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrUnfit, name, err)
		}
	}
	if judged == nil {
		_, err = s.Compute(p, seen)
	}
	return seen, err
}

// at is the value at a path; nil where there is none. What has no fields has none there either, and cannot be given any.
func at(live any, path []string) (any, error) {
	for i, key := range path {
		if live == nil {
			return nil, nil
		}
		fields, ok := live.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s is no object", pointer(path[:i]))
		}
		live = fields[key]
	}
	return live, nil
}

var escaped = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(path []string) string {
	var out strings.Builder
	for _, key := range path {
		out.WriteString("/" + escaped.Replace(key))
	}
	return out.String()
}

func (s Site) change(_ Case, _ Stamp, p map[string]any, live liveObject[map[string]any]) (Change, error) {
	values, err := s.Compute(p, live.state)
	if err != nil {
		return Change{}, fmt.Errorf("%w: %w", ErrTargetChanged, err)
	}
	object, err := decode[map[string]any](live.raw)
	if err != nil {
		return Change{}, err
	}
	operations, first := live.marked(), len(live.marked())
	if live.Annotations == nil { // marked made them
		_, _ = set(object, []string{"metadata", "annotations"}, map[string]any{})
	}
	var says []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, was := values[name], live.state[name]
		if Equal(value, was) {
			continue
		}
		one, err := set(object, s.Paths[name], value)
		if err != nil {
			return Change{}, fmt.Errorf("%w: %s: %w", ErrTargetChanged, name, err)
		}
		operations = append(operations, one)
		says = append(says, fmt.Sprintf("%s %s → %s", name, shortened(was), shortened(value)))
	}
	if len(operations) == first {
		return Change{}, ErrNothingToDo
	}
	return Change{PatchType: jsonPatch, Body: encode(operations), Says: strings.Join(says, ", ")}, nil
}

// set puts a value where a path leads, in a copy of the object as the patch leaves it, and returns the operation that does the same
// on the API server: whatever was there is replaced as a whole.
func set(object map[string]any, path []string, value any) (operation, error) {
	for i, key := range path[:len(path)-1] {
		switch inner := object[key].(type) {
		case map[string]any:
			object = inner
		case nil: // the first of the parents that is not there is made with all that it shall have
			made := nest(path[i+1:], value)
			object[key] = made
			return operation{"add", pointer(path[:i+1]), encode(made)}, nil // as it is now: more may come into it
		default:
			return operation{}, fmt.Errorf("%s is no object", pointer(path[:i+1]))
		}
	}
	last := path[len(path)-1]
	if value == nil {
		delete(object, last)
		return operation{Op: "remove", Path: pointer(path)}, nil
	}
	object[last] = value
	return operation{"add", pointer(path), encode(value)}, nil
}

// nest is a value below keys that are made for it.
func nest(path []string, value any) map[string]any {
	for i := len(path) - 1; i > 0; i-- {
		value = map[string]any{path[i]: value}
	}
	return map[string]any{path[0]: value}
}

// maxTold bounds what is said of one value, in bytes.
const maxTold = 120

func shortened(value any) string {
	if value == nil {
		return "none"
	}
	text := string(encode(value))
	if len(text) > maxTold {
		return strings.ToValidUTF8(text[:maxTold], "") + "…"
	}
	return text
}
