package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ErrTargetChanged is what Change returns where the target is no longer what the order was judged on.
var ErrTargetChanged = errors.New("the target is no longer what the order was judged on")

// ErrUnfit is what See returns for a target that the action cannot be done on, whatever the tier.
var ErrUnfit = errors.New("the action does not fit the target")

// Expectation names what a prediction looks for.
type Expectation string

// The expectations.
const (
	// ReadyReplicas: the target wants and has exactly Replicas ready pods.
	ReadyReplicas Expectation = "ReadyReplicas"
	// Available: every pod of the newest generation is available, none of an older revision is left.
	Available Expectation = "Available"
	// State: the target's state has every field of Want, with the same value.
	State Expectation = "State"
	// Gone: the object does not exist any more.
	Gone Expectation = "Gone"
	// Delivered: every hook that was to be told has taken the notice. The hub itself sees that.
	Delivered Expectation = "Delivered"
	// Stored: the hub has what was collected, as the receipt names it. The hub itself sees that.
	Stored Expectation = "Stored"
)

// Prediction is a checkable outcome with a deadline.
type Prediction struct {
	Expect   Expectation `json:"expect"`
	Replicas int32       `json:"replicas,omitempty"`
	// AfterGeneration: only a newer generation of the target counts.
	AfterGeneration int64 `json:"afterGeneration,omitempty"`
	// Want is a part of the state that an action sees of its target. Whatever is expected, all of it must be there too.
	Want json.RawMessage `json:"want,omitempty"`
	// Lasts: what is expected must hold when the time is over, not at some moment before.
	Lasts bool `json:"lasts,omitempty"`
	// WithinSeconds counts from the moment the change was made.
	WithinSeconds int64 `json:"withinSeconds"`
}

// String is the prediction in words.
func (p Prediction) String() string {
	when := fmt.Sprintf("within %d s", p.WithinSeconds)
	if p.Lasts {
		when = fmt.Sprintf("after %d s", p.WithinSeconds)
	}
	with := ""
	if p.Want != nil {
		with = ", " + string(p.Want)
	}
	switch p.Expect {
	case ReadyReplicas:
		return fmt.Sprintf("%d ready replicas%s %s", p.Replicas, with, when)
	case Gone:
		return fmt.Sprintf("gone%s %s", with, when)
	case Delivered:
		return "delivered " + when
	case Stored:
		return "stored on the hub " + when
	case State:
		return fmt.Sprintf("state %s %s", p.Want, when)
	}
	return fmt.Sprintf("newest generation fully available%s %s", with, when)
}

// ByHub reports whether the hub itself sees what came true, and no spoke.
func (p Prediction) ByHub() bool { return p.Expect == Delivered || p.Expect == Stored }

// Holds reports whether the facts are what was predicted, and what was seen, for people.
func (p Prediction) Holds(f Facts) (bool, string) {
	seen := p.seen(f)
	if !f.Gone && p.tooOld(f) {
		return false, seen + ", generation unchanged"
	}
	if p.Want != nil && !within(p.Want, f.State) {
		return false, seen
	}
	switch p.Expect {
	case ReadyReplicas:
		return f.ObservedGeneration >= f.Generation && f.Replicas == p.Replicas && f.ReadyReplicas == p.Replicas, seen
	case Available:
		return f.FullyAvailable(), seen
	case State:
		return p.Want != nil && !f.Gone, seen
	case Gone:
		return f.Gone, seen
	}
	return false, fmt.Sprintf("expectation %q is unknown", p.Expect)
}

// StillSeen reports whether nothing of what was predicted of the state is otherwise by now. The facts may be those that another action
// sees of the same target: what it does not look at is not compared.
func (p Prediction) StillSeen(f Facts) bool {
	switch {
	case p.Expect == ReadyReplicas && f.Replicas != p.Replicas:
		return false
	case p.Want == nil && p.Expect == ReadyReplicas:
		return true
	case p.Want == nil && p.Expect == Available: // nothing of the spec has changed since
		return f.Generation == p.AfterGeneration+1
	}
	var wanted, has map[string]any
	if json.Unmarshal(p.Want, &wanted) != nil || json.Unmarshal(f.State, &has) != nil {
		return false
	}
	for key, value := range wanted {
		if there, ok := has[key]; ok && !reflect.DeepEqual(value, there) {
			return false
		}
	}
	return true
}

// tooOld reports whether the facts are of a generation that does not count.
func (p Prediction) tooOld(f Facts) bool {
	return f.Generation <= p.AfterGeneration && (p.AfterGeneration != 0 || p.ofWorkload())
}

func (p Prediction) ofWorkload() bool { return p.Expect == ReadyReplicas || p.Expect == Available }

func (p Prediction) seen(f Facts) string {
	var parts []string
	switch {
	case f.Gone:
		parts = append(parts, "gone")
	case p.ofWorkload():
		parts = append(parts, fmt.Sprintf("%d/%d ready, %d updated", f.ReadyReplicas, f.Replicas, f.UpdatedReplicas))
	case p.Expect == Gone:
		parts = append(parts, "still there")
	}
	if f.State != nil {
		parts = append(parts, string(f.State))
	}
	return strings.Join(parts, ", ")
}

// within reports whether every field of want is in state with the same value.
func within(want, state json.RawMessage) bool {
	var wanted, has map[string]any
	if json.Unmarshal(want, &wanted) != nil || json.Unmarshal(state, &has) != nil {
		return false
	}
	for key, value := range wanted {
		if there, ok := has[key]; !ok || !reflect.DeepEqual(value, there) {
			return false
		}
	}
	return true
}
