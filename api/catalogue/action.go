// Package catalogue holds the typed actions that Writ can order: nothing else can be done.
//
// Every function here is pure: no I/O, no clock. The gateway, the spoke and Vault compute tier, rules and prediction from
// the same content with the same code, each for itself. Adding an action is adding one file and naming it in list.go.
package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	// OrderID is empty until there is an order. Rules, Tier and Predict do not depend on it; what an action creates is
	// named after it.
	OrderID string
}

// Action is one entry of the catalogue.
type Action struct {
	Name    string
	Summary string
	Words   Words
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
	// Look lists what the spoke reads besides the target, with its own identity, for See; nil for nothing. The target is the
	// object as JSON, nil where it is gone: Facts are then those that the order was judged on.
	Look func(c Case, target []byte) []Read
	// Gets and Lists are all kinds that Look may name: objects by their names, and lists. What may be read is made of them.
	Gets, Lists []Kind
	// See makes Facts.State of the target and of what Look asked for, in its order, nil for an object that does not exist.
	// ErrUnfit where the action cannot be done on such a target. Nil where the facts of a workload are enough.
	See func(c Case, target []byte, looked [][]byte) (json.RawMessage, error)
	// Reads lists what must be fetched, with the action's credential, before Change can be computed.
	Reads func(Case) []Read
	// Change computes the one operation of the action from what was read, in the order of Reads. It checks the
	// preconditions: ErrTargetChanged where the target is no longer what the order was judged on.
	Change func(Case, Stamp, [][]byte) (Change, error)
	// Guard is the guard that the action relaxes, in words; empty where it relaxes none. Nil where it never does.
	Guard func(Case) string
	// Recalls names the order out of whose record the hub completes the parameters, before anything is judged; an error where they
	// say themselves what they must not. Recall completes them, from the action and the case of that order, which was on the same
	// target and was applied. Nil for actions whose parameters say everything.
	Recalls func(Case) (orderID string, err error)
	Recall  func(c Case, by string, earlier Case) (json.RawMessage, error)
	// OnHub actions are carried out by the hub itself: they have no rights, and no spoke takes a bundle with one.
	OnHub bool
	// Collects lists what an action with the effect Collects reads besides its target, with its credential, for Artefact.
	Collects func(Case) []Read
	// Probe is what a pod of the sandbox finds out for an action with the effect Collects; nil for those that only read.
	Probe func(Case) Probe
	// Effect is what is left to see of the operation, once it was made.
	Effect Effect
	// Follows: more operations may follow the first one (Change.Then). After a crash they are not made.
	Follows bool
	// Rehearsed actions are rehearsed also where their tier was lowered to low.
	Rehearsed bool
	// Made names the object that an action with the effect Creates makes.
	Made func(Case) Read

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
	// Target is set where it is another object than that of the action: one that the action made.
	Target *Target `json:"target,omitempty"`
}

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

// Owner is the GitOps tool that owns the target and would put a change back; empty where there is none, or where the action does not
// change its target.
func (a *Action) Owner(c Case) string {
	if a.OnHub || a.Effect == Collects || a.Effect == Creates {
		return ""
	}
	switch by := c.Facts.ManagedBy; by {
	case ArgoCD, Flux, Helm:
		return by
	}
	return ""
}

// ClusterScoped reports whether the action is on kinds that have no namespace; then all of its kinds are such.
func (a *Action) ClusterScoped() bool { return a.Kinds[0].ClusterScoped }

// TierOf is the floor that content alone demands: the action's own tier, and high for a protected target.
func (a *Action) TierOf(c Case) (Tier, string) {
	if c.Facts.Protected {
		return High, "the target is protected"
	}
	if a.See != nil && c.Facts.State == nil {
		return High, "nothing was seen of the target"
	}
	return a.Tier(c)
}
