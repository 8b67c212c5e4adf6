// Package catalogue holds the typed actions that Writ can order: nothing else can be done.
//
// Every function here is pure: no I/O, no clock. The gateway, the spoke and Vault compute tier, rules and prediction from
// the same content with the same code, each for itself. Adding an action is adding one file and naming it in Actions.
package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// ErrNothingToDo is what Change returns where the target already is as asked.
var ErrNothingToDo = errors.New("the target already is as asked")

// Case is what an action is judged on: the target, the parameters as JSON, and what the spoke saw of the target.
type Case struct {
	Target     Target
	Kind       Kind
	Parameters json.RawMessage
	Facts      Facts
}

// Action is one entry of the catalogue.
type Action struct {
	Name    string
	Summary string
	Kinds   []Kind
	// Schema is the JSON Schema of the parameters (draft 2020-12).
	Schema *jsonschema.Schema
	// Deadline bounds the execution, from claim to apply.
	Deadline time.Duration
	// Rules are exactly what the action's credential may do in the target's namespace.
	Rules func(Case) []rbacv1.PolicyRule
	// Tier is the floor, computed from content, and why.
	Tier func(Case) (Tier, string)
	// Predict says what will be true afterwards, and until when it is looked for.
	Predict func(Case) Prediction
	// Inverse is the action that undoes this one; nil where there is none.
	Inverse func(Case) *Undo
	// Reads lists what must be fetched, with the action's credential, before Change can be computed.
	Reads func(Case) []Read
	// Change computes the one patch of the action from what was read, in the order of Reads. It checks the preconditions:
	// ErrTargetChanged where the target is no longer what the order was judged on.
	Change func(Case, Stamp, [][]byte) (Change, error)

	resolved *jsonschema.Resolved
}

// Stamp marks a change as made by an order.
type Stamp struct {
	OrderID string
	At      time.Time
}

// Undo names the action and the parameters that put things back.
type Undo struct {
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters"`
}

// Read is one GET, of one object by name or of a whole list of the target's namespace where Name is empty.
type Read struct {
	Kind        Kind
	Name        string
	Subresource string
}

// Change is one JSON merge patch of one object.
type Change struct {
	Kind        Kind
	Name        string
	Subresource string
	PatchType   string // a k8s.io/apimachinery types.PatchType
	Body        []byte
	// Says is the change in words, for people: "replicas 3 → 5".
	Says string
}

// Actions returns the catalogue, by name.
func Actions() map[string]*Action { return actions }

// Names returns the names of all actions, sorted.
func Names() []string {
	names := make([]string, 0, len(actions))
	for name := range actions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

var actions = build(scale(), rolloutRestart(), rollback())

func build(list ...*Action) map[string]*Action {
	byName := make(map[string]*Action, len(list))
	for _, a := range list {
		resolved, err := a.Schema.Resolve(nil)
		if err != nil {
			panic(fmt.Sprintf("catalogue: schema of %s: %v", a.Name, err))
		}
		a.resolved = resolved
		byName[a.Name] = a
	}
	return byName
}

// Validate checks parameters against the schema. The error says which field is wrong and what is allowed.
func (a *Action) Validate(parameters json.RawMessage) error {
	if err := noDuplicateKeys(parameters); err != nil {
		return err
	}
	var value map[string]any
	if err := json.Unmarshal(orEmpty(parameters), &value); err != nil {
		return fmt.Errorf("parameters are no JSON object: %w", err)
	}
	return a.resolved.Validate(value)
}

// orEmpty lets an action without parameters be asked for without any.
func orEmpty(parameters json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(parameters)) == 0 || string(bytes.TrimSpace(parameters)) == "null" {
		return json.RawMessage("{}")
	}
	return parameters
}

// Equal reports whether two values have the same JSON. It serves to compare what an order carries with what the catalogue
// computes.
func Equal(a, b any) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}

// TierOf is the floor that content alone demands: the action's own tier, and high for a protected target.
func (a *Action) TierOf(c Case) (Tier, string) {
	if c.Facts.Protected {
		return High, "the target is protected"
	}
	return a.Tier(c)
}
