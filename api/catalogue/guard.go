package catalogue

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The guards that actions relax, in words.
const (
	noNewPods    = "the node takes no new pods"
	looserBudget = "the budget may let more pods go"
	higherQuota  = "the quota lets the namespace use more"
)

// looser reports whether a budget may let more pods go than before. Only a tighter bound of the same form is certainly none.
func looser(before, after budget) bool {
	tighter := func(was, is *intstr.IntOrString, by int32) bool {
		return was != nil && is != nil && was.Type == intstr.Int && is.Type == intstr.Int && (is.IntVal-was.IntVal)*by >= 0
	}
	return !tighter(before.MinAvailable, after.MinAvailable, 1) && !tighter(before.MaxUnavailable, after.MaxUnavailable, -1)
}

// higher reports whether a limit is more than before, or cannot be compared.
func higher(before, after map[string]string) bool {
	for key, asked := range after {
		was, errWas := resource.ParseQuantity(before[key])
		is, errIs := resource.ParseQuantity(asked)
		if errWas != nil || errIs != nil || is.Cmp(was) > 0 {
			return true
		}
	}
	return false
}
