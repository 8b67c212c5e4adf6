package catalogue

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Drift is one value that was predicted and is another.
type Drift struct {
	Field     string `json:"field"` // of the target, such as "readyReplicas"
	Predicted string `json:"predicted"`
	Actual    string `json:"actual"`
}

// Drift lists what of the facts is not as predicted. It is empty where the prediction holds.
func (p Prediction) Drift(f Facts) []Drift {
	if held, _ := p.Holds(f); held {
		return nil
	}
	var drift []Drift
	compare := func(field string, predicted, actual int64) {
		if predicted != actual {
			drift = append(drift, Drift{field, strconv.FormatInt(predicted, 10), strconv.FormatInt(actual, 10)})
		}
	}
	if f.Gone != (p.Expect == Gone) {
		if f.Gone {
			return Vanished()
		}
		return []Drift{{"target", "gone", "there"}}
	}
	if p.tooOld(f) {
		drift = append(drift, Drift{"generation", "more than " + strconv.FormatInt(p.AfterGeneration, 10), strconv.FormatInt(f.Generation, 10)})
	}
	if p.ofWorkload() && f.ObservedGeneration < f.Generation { // what the controller says is about an older one
		compare("observedGeneration", f.Generation, f.ObservedGeneration)
	}
	switch p.Expect {
	case ReadyReplicas:
		compare("replicas", int64(p.Replicas), int64(f.Replicas))
		compare("readyReplicas", int64(p.Replicas), int64(f.ReadyReplicas))
	case Available:
		compare("updatedReplicas", int64(f.Replicas), int64(f.UpdatedReplicas))
		compare("availableReplicas", int64(f.Replicas), int64(f.AvailableReplicas))
		compare("currentReplicas", int64(f.Replicas), int64(f.CurrentReplicas))
	}
	return append(drift, driftOf(p.Want, f.State)...)
}

// driftOf lists the fields of a wanted state that are not so, in the order of their names.
func driftOf(want, state json.RawMessage) (drift []Drift) {
	var wanted, has map[string]json.RawMessage
	if json.Unmarshal(want, &wanted) != nil {
		return nil
	}
	_ = json.Unmarshal(state, &has)
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		if !within(encode(map[string]json.RawMessage{field: wanted[field]}), state) {
			actual := "none"
			if there, ok := has[field]; ok {
				actual = string(there)
			}
			drift = append(drift, Drift{field, string(wanted[field]), actual})
		}
	}
	return drift
}

// Vanished is the drift of a target that is not there any more.
func Vanished() []Drift { return []Drift{{"target", "there", "gone"}} }
