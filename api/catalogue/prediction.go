package catalogue

import (
	"errors"
	"fmt"
)

// ErrTargetChanged is what Change returns where the target is no longer what the order was judged on.
var ErrTargetChanged = errors.New("the target is no longer what the order was judged on")

// Expectation names what a prediction looks for.
type Expectation string

// The expectations.
const (
	// ReadyReplicas: the target wants and has exactly Replicas ready pods.
	ReadyReplicas Expectation = "ReadyReplicas"
	// Available: every pod of the newest generation is available, none of an older revision is left.
	Available Expectation = "Available"
)

// Prediction is a checkable outcome with a deadline.
type Prediction struct {
	Expect   Expectation `json:"expect"`
	Replicas int32       `json:"replicas,omitempty"`
	// AfterGeneration: only a newer generation of the target counts.
	AfterGeneration int64 `json:"afterGeneration,omitempty"`
	// WithinSeconds counts from the moment the change was made.
	WithinSeconds int64 `json:"withinSeconds"`
}

// String is the prediction in words.
func (p Prediction) String() string {
	if p.Expect == ReadyReplicas {
		return fmt.Sprintf("%d ready replicas within %d s", p.Replicas, p.WithinSeconds)
	}
	return fmt.Sprintf("newest generation fully available within %d s", p.WithinSeconds)
}

// Holds reports whether the facts are what was predicted, and what was seen, for people.
func (p Prediction) Holds(f Facts) (bool, string) {
	seen := fmt.Sprintf("%d/%d ready, %d updated", f.ReadyReplicas, f.Replicas, f.UpdatedReplicas)
	if f.Generation <= p.AfterGeneration {
		return false, seen + ", generation unchanged"
	}
	switch p.Expect {
	case ReadyReplicas:
		return f.ObservedGeneration >= f.Generation && f.Replicas == p.Replicas && f.ReadyReplicas == p.Replicas, seen
	case Available:
		return f.FullyAvailable(), seen
	}
	return false, fmt.Sprintf("expectation %q is unknown", p.Expect)
}
