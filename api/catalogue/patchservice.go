package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

type servicePort struct {
	Port       int32 `json:"port"`
	TargetPort int32 `json:"targetPort"`
}

type serviceParameters struct {
	Selector map[string]string `json:"selector,omitempty"`
	Port     *servicePort      `json:"port,omitempty"`
}

type serviceState struct {
	serviceParameters
	// Serving: at least one endpoint is ready.
	Serving bool `json:"serving"`
	place   int  // of the port
}

func patchServiceSelector() *Action {
	schema := object(map[string]*jsonschema.Schema{
		"selector": entries("labels of the pods to send to; they replace the selector as a whole",
			`^[A-Za-z0-9][-A-Za-z0-9_./]{0,316}$`, &jsonschema.Schema{Type: "string", Pattern: `^[-A-Za-z0-9_.]*$`, MaxLength: ptr(63)}),
		"port": object(map[string]*jsonschema.Schema{
			"port": integer("a port of the Service", 1, 65535), "targetPort": integer("the port of the pods", 1, 65535)}, "port", "targetPort"),
	})
	schema.MinProperties = ptr(1)
	return entry[serviceParameters, serviceState]{
		name:  "patch-service-selector",
		words: Words{"high", "selector and port as asked, and an endpoint ready", "the former selector and port"}, summary: "Send a Service's traffic to other pods, or to another port of them", kinds: []Kind{Service}, schema: schema,
		lists: []Kind{endpointSlices},
		look: func(c Case, _ []byte, _ serviceState) []Read {
			return []Read{{Kind: endpointSlices, Labels: "kubernetes.io/service-name=" + c.Target.Name}}
		},
		see:  seeService,
		same: func(judged, now serviceState) bool { return Equal(judged.serviceParameters, now.serviceParameters) },
		tier: func(Case, serviceParameters, serviceState) (Tier, string) {
			return High, "it sends all traffic elsewhere"
		},
		predict: func(_ Case, p serviceParameters, _ serviceState) Prediction {
			want, _ := decode[map[string]any](encode(p))
			want["serving"] = true
			return wants(2*time.Minute, want)
		},
		inverse: func(_ Case, _ serviceParameters, s serviceState) *Undo {
			return &Undo{Action: "patch-service-selector", Parameters: encode(s.serviceParameters)}
		},
		change: func(_ Case, _ Stamp, p serviceParameters, live liveObject[serviceState]) (Change, error) {
			if Equal(live.state.serviceParameters, p) {
				return Change{}, ErrNothingToDo
			}
			operations := live.tests()
			if p.Selector != nil {
				operations = append(operations, operation{"replace", "/spec/selector", p.Selector})
			}
			if p.Port != nil {
				operations = append(operations, operation{"replace", fmt.Sprintf("/spec/ports/%d/targetPort", live.state.place), p.Port.TargetPort})
			}
			return Change{PatchType: jsonPatch, Body: encode(operations), Says: fmt.Sprintf("%s → %s", encode(live.state.serviceParameters), encode(p))}, nil
		},
	}.action()
}

func seeService(_ Case, p serviceParameters, target []byte, looked [][]byte, _ serviceState) (serviceState, error) {
	live, err := decode[struct {
		Spec struct {
			Selector map[string]string `json:"selector"`
			Ports    []struct {
				Port       int32 `json:"port"`
				TargetPort any   `json:"targetPort"`
			} `json:"ports"`
		} `json:"spec"`
	}](target)
	var s serviceState
	if err != nil {
		return s, err
	}
	if len(live.Spec.Selector) == 0 {
		return s, fmt.Errorf("%w: it has no selector", ErrUnfit)
	}
	if p.Selector != nil {
		s.Selector = live.Spec.Selector
	}
	for i, port := range live.Spec.Ports {
		if p.Port == nil || port.Port != p.Port.Port {
			continue
		}
		number, ok := port.TargetPort.(float64)
		if !ok {
			return s, fmt.Errorf("%w: port %d goes to a port by name, which could not be put back", ErrUnfit, port.Port)
		}
		s.Port, s.place = &servicePort{port.Port, int32(number)}, i
	}
	if p.Port != nil && s.Port == nil {
		return s, fmt.Errorf("%w: it has no port %d", ErrUnfit, p.Port.Port)
	}
	if len(looked) == 1 {
		s.Serving, err = serving(looked[0])
	}
	return s, err
}

func serving(list []byte) (bool, error) {
	slices, err := decode[listOf[struct {
		Endpoints []struct {
			Conditions struct {
				Ready *bool `json:"ready"` // nil is ready
			} `json:"conditions"`
		} `json:"endpoints"`
	}]](list)
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				return true, nil
			}
		}
	}
	return false, err
}
