package catalogue

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// QuarantineLabel, set to "true", puts a pod under the NetworkPolicy that denies it everything; quarantinedAnnotation keeps the
// labels that were taken from it.
const (
	QuarantineLabel       = "writ.dev/quarantine"
	quarantinedAnnotation = "writ.dev/quarantined"
)

type quarantineState struct {
	Quarantined bool `json:"quarantined"`
	// Labels are those that the pod loses, or gets back.
	Labels map[string]string `json:"labels"`
	// Serving: it is an endpoint of some Service.
	Serving bool `json:"serving"`
	Running bool `json:"running"`
	// Policy is the NetworkPolicy that denies it everything; Open are others that allow it something all the same.
	Policy string   `json:"policy,omitempty"`
	Open   []string `json:"open,omitempty"`
	// Controller is the kind of what controls it.
	Controller string `json:"controller,omitempty"`

	annotations map[string]string
}

func quarantinePod() *Action {
	e := quarantining("quarantine-pod", "Take a pod out of its Services and cut its network, and leave it running", "release-pod", true)
	e.words.Tiers = "medium; high for a pod of a StatefulSet"
	e.lists = []Kind{endpointSlices, Service, NetworkPolicy}
	e.look = func(Case, []byte, quarantineState) []Read {
		return []Read{{Kind: endpointSlices}, {Kind: Service}, {Kind: NetworkPolicy}}
	}
	e.see = seeQuarantine
	e.tier = func(_ Case, _ struct{}, s quarantineState) (Tier, string) {
		if s.Controller == StatefulSet.Kind {
			return High, "its StatefulSet cannot replace it while it is there"
		}
		return Medium, "it takes a pod out of service"
	}
	e.change = func(_ Case, _ Stamp, _ struct{}, live liveObject[quarantineState]) (Change, error) {
		if live.state.Quarantined {
			return Change{}, ErrNothingToDo
		}
		set := map[string]any{QuarantineLabel: "true"}
		for key := range live.state.Labels {
			set[key] = nil
		}
		kept := string(encode(live.state.Labels))
		says := "quarantine under NetworkPolicy " + live.state.Policy + ", without the labels " + selector(live.state.Labels)
		if len(live.state.Labels) == 0 {
			says = "quarantine under NetworkPolicy " + live.state.Policy
		}
		if len(live.state.Open) > 0 {
			says += "; still open by " + strings.Join(live.state.Open, ", ")
		}
		return live.merged(map[string]any{"metadata": map[string]any{"labels": set,
			"annotations": map[string]*string{quarantinedAnnotation: &kept}}}, "%s", says), nil
	}
	return e.action()
}

func releasePod() *Action {
	e := quarantining("release-pod", "End a pod's quarantine", "quarantine-pod", false)
	e.lists = []Kind{endpointSlices}
	e.look = func(Case, []byte, quarantineState) []Read { return []Read{{Kind: endpointSlices}} }
	e.see = seeReleased
	e.change = func(_ Case, _ Stamp, _ struct{}, live liveObject[quarantineState]) (Change, error) {
		if !live.state.Quarantined {
			return Change{}, ErrNothingToDo
		}
		set := map[string]any{QuarantineLabel: nil}
		for key, value := range live.state.Labels {
			set[key] = value
		}
		return live.merged(map[string]any{"metadata": map[string]any{"labels": set,
			"annotations": map[string]*string{quarantinedAnnotation: nil}}}, "end the quarantine, with the labels %s", selector(live.state.Labels)), nil
	}
	return e.action()
}

func quarantining(name, summary, opposite string, to bool) entry[struct{}, quarantineState] {
	words := Words{"medium", "quarantined, an endpoint of no Service, and still running", opposite}
	want := map[string]any{"quarantined": to, "running": true}
	if to {
		want["serving"] = false
	} else {
		words.Prediction = "no longer quarantined, and still running"
	}
	return entry[struct{}, quarantineState]{
		name: name, summary: summary, kinds: []Kind{Pod}, schema: object(nil), words: words,
		same: func(judged, now quarantineState) bool {
			return judged.Quarantined == now.Quarantined && judged.Controller == now.Controller && Equal(judged.Labels, now.Labels)
		},
		tier:    func(Case, struct{}, quarantineState) (Tier, string) { return Medium, "it puts a pod back into service" },
		predict: func(Case, struct{}, quarantineState) Prediction { return wants(2*time.Minute, want) },
		inverse: func(Case, struct{}, quarantineState) *Undo {
			return &Undo{Action: opposite, Parameters: encode(struct{}{})}
		},
	}
}

// seeQuarantine finds the labels by which Services send traffic to the pod, and the policy that will hold it.
func seeQuarantine(c Case, _ struct{}, target []byte, looked [][]byte, judged quarantineState) (quarantineState, error) {
	s, has, err := quarantineOf(target, looked)
	if err != nil || s.Quarantined {
		return s, err
	}
	if looked == nil { // what was judged, as far as the pod still has it
		s.Policy, s.Open, s.Labels = judged.Policy, judged.Open, map[string]string{}
		for key := range judged.Labels {
			if value, ok := has[key]; ok {
				s.Labels[key] = value
			}
		}
		return s, nil
	}
	if s.Labels, err = servedBy(looked[1], has); err != nil {
		return s, err
	}
	after := maps.Clone(has)
	maps.DeleteFunc(after, func(key, _ string) bool { _, goes := s.Labels[key]; return goes })
	after[QuarantineLabel] = "true"
	if err := s.held(looked[2], after); err != nil {
		return s, err
	}
	if s.Policy == "" {
		return s, fmt.Errorf("%w: the namespace %s has no NetworkPolicy that denies everything to pods with the label %s=true: apply one first",
			ErrUnfit, c.Target.Namespace, QuarantineLabel)
	}
	return s, nil
}

func seeReleased(_ Case, _ struct{}, target []byte, looked [][]byte, _ quarantineState) (quarantineState, error) {
	s, _, err := quarantineOf(target, looked)
	if err != nil || !s.Quarantined {
		return s, err
	}
	if err := json.Unmarshal([]byte(s.annotations[quarantinedAnnotation]), &s.Labels); err != nil {
		return s, fmt.Errorf("%w: its annotation %s, which should keep the labels that it had, does not: %w", ErrUnfit, quarantinedAnnotation, err)
	}
	for key := range s.Labels {
		if strings.HasPrefix(key, "writ.dev/") {
			return s, fmt.Errorf("%w: its annotation %s names the label %s, which is Writ's", ErrUnfit, quarantinedAnnotation, key)
		}
	}
	return s, nil
}

// quarantineOf is what the pod itself tells, with its labels.
func quarantineOf(target []byte, looked [][]byte) (quarantineState, map[string]string, error) {
	live, err := decode[struct {
		Metadata struct {
			objectMeta
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
		Spec struct {
			HostNetwork bool `json:"hostNetwork"`
		} `json:"spec"`
		Status struct {
			Phase string `json:"phase"`
		} `json:"status"`
	}](target)
	if err != nil {
		return quarantineState{}, nil, err
	}
	if live.Spec.HostNetwork {
		return quarantineState{}, nil, fmt.Errorf("%w: it uses the network of its node, which no NetworkPolicy cuts", ErrUnfit)
	}
	s := quarantineState{Quarantined: live.Metadata.Labels[QuarantineLabel] == "true", Running: live.Status.Phase == "Running",
		annotations: live.Metadata.Annotations}
	if owner, err := controllerOf(target); err == nil {
		s.Controller = owner.Kind
	}
	if len(looked) > 0 {
		s.Serving, err = endpoint(looked[0], live.Metadata.UID)
	}
	return s, live.Metadata.Labels, err
}

// endpoint reports whether a pod is an endpoint of one of the slices.
func endpoint(list []byte, uid string) (bool, error) {
	found, err := decode[listOf[struct {
		Endpoints []struct {
			Target struct {
				UID string `json:"uid"`
			} `json:"targetRef"`
		} `json:"endpoints"`
	}]](list)
	for _, slice := range found.Items {
		for _, e := range slice.Endpoints {
			if e.Target.UID == uid {
				return true, nil
			}
		}
	}
	return false, err
}

// servedBy are labels without which no Service would select a pod: of each that does, the first that it asks for.
func servedBy(list []byte, has map[string]string) (map[string]string, error) {
	services, err := decode[listOf[struct {
		Spec struct {
			Selector map[string]string `json:"selector"`
		} `json:"spec"`
	}]](list)
	taken, left := map[string]string{}, maps.Clone(has)
	for _, service := range services.Items {
		asks := service.Spec.Selector
		if len(asks) == 0 || !labels.SelectorFromSet(asks).Matches(labels.Set(left)) {
			continue
		}
		key := slices.Sorted(maps.Keys(asks))[0]
		taken[key] = left[key]
		delete(left, key)
	}
	return taken, err
}

// held finds what NetworkPolicies mean for a pod with these labels.
func (s *quarantineState) held(list []byte, has map[string]string) error {
	policies, err := decode[listOf[networkPolicy]](list)
	for _, p := range policies.Items {
		selects, bad := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if bad != nil || !selects.Matches(labels.Set(has)) {
			continue
		}
		closed := len(p.Spec.Ingress) == 0 && len(p.Spec.Egress) == 0
		switch {
		case !closed:
			s.Open = append(s.Open, p.Metadata.Name)
		case p.quarantines() && s.Policy == "":
			s.Policy = p.Metadata.Name
		}
	}
	return err
}

// networkPolicy is the part of one that actions look at.
type networkPolicy struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		PodSelector metav1.LabelSelector `json:"podSelector"`
		PolicyTypes []string             `json:"policyTypes"`
		Ingress     []json.RawMessage    `json:"ingress"`
		Egress      []json.RawMessage    `json:"egress"`
	} `json:"spec"`
}

// quarantines reports whether a policy without rules selects what is in quarantine, by that label alone, in both directions.
func (p networkPolicy) quarantines() bool {
	return maps.Equal(p.Spec.PodSelector.MatchLabels, map[string]string{QuarantineLabel: "true"}) && len(p.Spec.PodSelector.MatchExpressions) == 0 &&
		slices.Contains(p.Spec.PolicyTypes, "Ingress") && slices.Contains(p.Spec.PolicyTypes, "Egress")
}
