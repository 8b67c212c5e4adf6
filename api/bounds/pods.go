package bounds

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/writ-dev/writ/api/catalogue"
)

// Pods bounds how many pods of a workload one action may touch.
type Pods struct {
	// MaxPercent is the share of the workload's pods; nil bounds nothing.
	MaxPercent *int32
	// HonourDisruptionBudgets demands that every PodDisruptionBudget has room for the first pod that goes, or for all of them
	// where they go at once.
	HonourDisruptionBudgets bool
}

// gradual are the kinds whose controllers replace pods few at a time, within what budget and strategy leave.
var gradual = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}

// Workload reports whether a kind is one that keeps a number of pods.
func Workload(kind string) bool { return slices.Contains(gradual, kind) }

// Touched is how many pods of a workload an action takes away or replaces, and how many there are. ok is false where the target
// is neither a workload nor a pod: no share of anything can be told.
func Touched(action string, target catalogue.Target, parameters json.RawMessage, facts catalogue.Facts) (touched, of int64, ok bool) {
	switch {
	case target.Kind == "Pod" && untouching[action]:
		return 0, max(1, int64(facts.Replicas)), true
	case target.Kind == "Pod":
		return 1, max(1, int64(facts.Replicas)), true
	case !Workload(target.Kind):
		return 0, 0, false
	}
	of = int64(facts.Replicas)
	if ask, scales, err := Asked(parameters, facts); scales || err != nil {
		return max(0, of-ask.Wanted), of, true
	}
	if untouching[action] {
		return 0, of, true
	}
	return of, of, true
}

// untouching are the actions that leave the running pods as they are.
var untouching = map[string]bool{"pause-rollout": true, "label": true, "annotate": true, "collect-diagnostics": true, "debug-probe": true,
	"notify": true, "escalate": true}

// Objection is why an action touches too many pods, and the bound that says so; both empty where it does not.
func (p Pods) Objection(action string, target catalogue.Target, parameters json.RawMessage, facts catalogue.Facts) (bound, why string) {
	touched, of, ok := Touched(action, target, parameters, facts)
	if !ok || touched == 0 {
		return "", ""
	}
	if p.MaxPercent != nil && touched*100 > int64(*p.MaxPercent)*of {
		return "maxPodsPercent", fmt.Sprintf("it touches %d of %d pods, at most %d %% are allowed", touched, of, *p.MaxPercent)
	}
	if !p.HonourDisruptionBudgets || facts.DisruptionsAllowed == nil {
		return "", ""
	}
	room, needed := int64(*facts.DisruptionsAllowed), int64(1)
	if _, scales, _ := Asked(parameters, facts); scales {
		needed = touched // a scale takes them all at once, and no budget stops it
	}
	if room < needed {
		return "honourDisruptionBudgets", fmt.Sprintf("it needs room for %d pods, the PodDisruptionBudget leaves %d", needed, room)
	}
	return "", ""
}
