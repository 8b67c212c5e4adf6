package catalogue

import (
	"maps"
	"slices"
	"strings"
)

// pod is the part of a pod that actions look at.
type pod struct {
	Metadata objectMeta `json:"metadata"`
	Status   struct {
		Phase      string      `json:"phase"`
		Conditions []condition `json:"conditions"`
		Statuses   []struct {
			Name      string         `json:"name"`
			State     containerState `json:"state"`
			LastState containerState `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

type containerState struct {
	Terminated *struct {
		Reason string `json:"reason"`
	} `json:"terminated"`
}

// condition is one of any object's.
type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func isTrue(conditions []condition, kind string) bool {
	return slices.ContainsFunc(conditions, func(c condition) bool { return c.Type == kind && c.Status == "True" })
}

type listOf[T any] struct {
	Items []T `json:"items"`
}

// podsOf lists the pods that have the labels of a workload's template: those that its selector asks for.
func podsOf(target []byte) []Read {
	live, err := decode[struct {
		Spec struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
		} `json:"spec"`
	}](target)
	if err != nil || len(live.Spec.Selector.MatchLabels) == 0 {
		return nil
	}
	return []Read{{Kind: Pod, Labels: selector(live.Spec.Selector.MatchLabels)}}
}

func selector(labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ",")
}

// killed reports whether a container of that name was killed for want of memory, in any of the pods.
func killed(list []byte, name string) (bool, error) {
	pods, err := decode[listOf[pod]](list)
	for _, p := range pods.Items {
		for _, status := range p.Status.Statuses {
			for _, state := range []containerState{status.State, status.LastState} {
				if status.Name == name && state.Terminated != nil && state.Terminated.Reason == "OOMKilled" {
					return true, nil
				}
			}
		}
	}
	return false, err
}
