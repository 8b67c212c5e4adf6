package catalogue

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// fewConsumers is how many workloads may use a ConfigMap that is changed at the medium tier.
const fewConsumers = 3

type configState struct {
	Values map[string]*string `json:"values"`
	// Consumers are the workloads whose pods use the ConfigMap.
	Consumers int `json:"consumers"`
	// Available: all of them have all of their pods.
	Available bool `json:"available"`
}

// configParameters are those of the actions on a ConfigMap; Revision is of a restore alone.
type configParameters struct {
	Revision string             `json:"revision,omitempty"`
	Values   map[string]*string `json:"values,omitempty"`
}

// configValues is the schema of data by key.
func configValues(description string) *jsonschema.Schema {
	return entries(description, `^[-._a-zA-Z0-9]{1,253}$`,
		orNull(&jsonschema.Schema{Type: "string", Description: "value; null removes the key", MaxLength: ptr(16 << 10)}))
}

func patchConfigMap() *Action {
	a := changingConfig("patch-configmap", "Set or remove keys of a ConfigMap", Words{"medium; high where more than 3 workloads use it",
		"the data as asked, and at the end of the time all workloads that use it available", "the former data"})
	a.schema = object(map[string]*jsonschema.Schema{"values": configValues("data by key")}, "values")
	return a.action()
}

// changingConfig is what the actions on a ConfigMap's data have in common.
func changingConfig(name, summary string, words Words) entry[configParameters, configState] {
	return entry[configParameters, configState]{
		name: name, summary: summary, words: words, kinds: []Kind{ConfigMap}, lists: rolling(),
		look: func(Case, []byte, configState) []Read {
			return []Read{{Kind: Deployment}, {Kind: StatefulSet}, {Kind: DaemonSet}}
		},
		see:  seeConfigMap,
		same: func(judged, now configState) bool { return Equal(judged.Values, now.Values) },
		tier: func(_ Case, _ configParameters, s configState) (Tier, string) {
			if s.Consumers > fewConsumers {
				return High, fmt.Sprintf("%d workloads use it", s.Consumers)
			}
			return Medium, fmt.Sprintf("it changes the settings of %d workloads", s.Consumers)
		},
		predict: func(_ Case, p configParameters, _ configState) Prediction {
			prediction := wants(5*time.Minute, map[string]any{"values": p.Values, "available": true})
			prediction.Lasts = true
			return prediction
		},
		inverse: func(_ Case, _ configParameters, s configState) *Undo {
			return &Undo{Action: "patch-configmap", Parameters: encode(marks{s.Values})}
		},
		change: func(_ Case, _ Stamp, p configParameters, live liveObject[configState]) (Change, error) {
			if Equal(live.state.Values, p.Values) {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"data": p.Values}, "data %s", difference(live.state.Values, p.Values)), nil
		},
	}
}

func seeConfigMap(c Case, p configParameters, target []byte, looked [][]byte, _ configState) (configState, error) {
	live, err := decode[struct {
		Immutable bool              `json:"immutable"`
		Data      map[string]string `json:"data"`
		Binary    map[string]string `json:"binaryData"`
	}](target)
	s := configState{Values: map[string]*string{}, Available: true}
	if err == nil && live.Immutable {
		err = fmt.Errorf("%w: it is immutable", ErrUnfit)
	}
	for key := range p.Values {
		s.Values[key] = nil
		if is, ok := live.Data[key]; ok {
			s.Values[key] = &is
		}
		if _, binary := live.Binary[key]; binary {
			return s, fmt.Errorf("%w: its key %s is binary", ErrUnfit, key)
		}
	}
	for _, list := range looked {
		if err == nil {
			err = s.count(list, c.Target.Name)
		}
	}
	return s, err
}

// count adds the workloads of a list that name the ConfigMap in their pod template, as a volume or in their environment.
func (s *configState) count(list []byte, name string) error {
	workloads, err := decode[listOf[struct {
		Metadata objectMeta `json:"metadata"`
		Spec     struct {
			Replicas *int32 `json:"replicas"`
			Template struct {
				Spec map[string]any `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
		Status struct {
			Available *int32 `json:"availableReplicas"`
			Desired   int32  `json:"desiredNumberScheduled"`
			Number    int32  `json:"numberAvailable"`
		} `json:"status"`
	}]](list)
	for _, w := range workloads.Items {
		if !mentions(w.Spec.Template.Spec, name) {
			continue
		}
		s.Consumers++
		wanted, has := w.Status.Desired, w.Status.Number // of a DaemonSet
		if w.Spec.Replicas != nil {
			wanted, has = *w.Spec.Replicas, 0
			if w.Status.Available != nil {
				has = *w.Status.Available
			}
		}
		s.Available = s.Available && has >= wanted
	}
	return err
}

// mentions finds a reference to a ConfigMap anywhere in a pod's spec: configMap (volumes), configMapRef and configMapKeyRef
// (environment).
func mentions(v any, name string) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if reference, ok := value.(map[string]any); ok && strings.HasPrefix(key, "configMap") && reference["name"] == name {
				return true
			}
			if mentions(value, name) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if mentions(value, name) {
				return true
			}
		}
	}
	return false
}
