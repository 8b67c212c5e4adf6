package catalogue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// The bounds of what is collected.
const (
	maxDiagnosedPods       = 3
	maxDiagnosedContainers = 6  // of one pod
	defaultTail            = 60 // lines of one log
)

type diagnosticsParameters struct {
	TailLines int  `json:"tailLines,omitempty"`
	Previous  bool `json:"previous,omitempty"`
}

// diagnosed is whose logs are collected: of a workload, those of its pods that are not ready first.
type diagnosed struct {
	Pods []diagnosedPod `json:"pods"`
}

type diagnosedPod struct {
	Name       string   `json:"name"`
	UID        string   `json:"uid"`
	Containers []string `json:"containers"`
}

func collectDiagnostics() *Action {
	e := entry[diagnosticsParameters, diagnosed]{
		name: "collect-diagnostics", summary: "Collect the logs, the events and the state of a pod or of a workload's pods",
		kinds: append([]Kind{Pod}, Workloads()...), lists: []Kind{Pod},
		schema: object(map[string]*jsonschema.Schema{
			"tailLines": integer("lines of each log, the last ones; 60 if left out", 1, 500),
			"previous":  {Type: "boolean", Description: "the logs of what ran in the containers before they were started last"},
		}),
		rules: diagnosticsRules,
		look: func(c Case, target []byte, _ diagnosed) []Read {
			if c.Kind == Pod {
				return nil
			}
			return podsOf(target)
		},
		see: func(c Case, _ diagnosticsParameters, target []byte, looked [][]byte, judged diagnosed) (diagnosed, error) {
			if c.Kind == Pod {
				return podsToDiagnose([][]byte{target})
			}
			if len(looked) == 0 {
				return judged, nil
			}
			list, err := decode[listOf[json.RawMessage]](looked[0])
			if err != nil {
				return diagnosed{}, err
			}
			pods := make([][]byte, len(list.Items))
			for i, item := range list.Items {
				pods[i] = item
			}
			return podsToDiagnose(pods)
		},
	}
	return collecting(e, diagnosticsReads)
}

// collectNodeDiagnostics is an action of its own, since its credential is for what has no namespace.
func collectNodeDiagnostics() *Action {
	type nothing struct{}
	e := entry[nothing, nothing]{
		name: "collect-node-diagnostics", summary: "Collect the events and the state of a node", kinds: []Kind{Node}, schema: object(nil),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Node, "", c.Target.Name, "get"), rule(event, "", "", "list")}
		},
		see: func(Case, nothing, []byte, [][]byte, nothing) (nothing, error) { return nothing{}, nil },
	}
	return collecting(e, func(c Case) []Read {
		return []Read{{Kind: event, Fields: "involvedObject.kind=Node,involvedObject.name=" + c.Target.Name}}
	})
}

// collecting is an action that reads and changes nothing.
func collecting[P, S any](e entry[P, S], reads func(Case) []Read) *Action {
	e.effect, e.deadline = Collects, time.Minute
	e.words = Words{"low", "what was collected is stored on the hub, with the digest that the receipt names", "none: it changes nothing"}
	e.same = func(S, S) bool { return true } // of the same object, whatever has become of it
	e.tier = func(Case, P, S) (Tier, string) { return Low, "it reads, and changes nothing" }
	e.predict = func(Case, P, S) Prediction { return Prediction{Expect: Stored, WithinSeconds: 120} }
	e.change = func(c Case, _ Stamp, _ P, _ liveObject[S]) (Change, error) {
		return Change{Verb: Nothing, Says: "collect diagnostics"}, nil
	}
	a := e.action()
	a.Collects = reads
	return a
}

var event = Kind{APIVersion: "v1", Kind: "Event", Resource: "events"}

// podsToDiagnose are the first of the pods, those that are not ready before the others.
func podsToDiagnose(raw [][]byte) (diagnosed, error) {
	type candidate struct {
		diagnosedPod
		ready bool
	}
	var all []candidate
	for _, one := range raw {
		p, err := decode[struct {
			Metadata struct {
				Name string `json:"name"`
				UID  string `json:"uid"`
			} `json:"metadata"`
			Spec struct {
				Init       []namedContainer `json:"initContainers"`
				Containers []namedContainer `json:"containers"`
			} `json:"spec"`
			Status struct {
				Conditions []condition `json:"conditions"`
			} `json:"status"`
		}](one)
		if err != nil {
			return diagnosed{}, err
		}
		c := candidate{diagnosedPod{Name: p.Metadata.Name, UID: p.Metadata.UID}, isTrue(p.Status.Conditions, "Ready")}
		for _, container := range slices.Concat(p.Spec.Containers, p.Spec.Init) {
			if len(c.Containers) < maxDiagnosedContainers {
				c.Containers = append(c.Containers, container.Name)
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.ready != b.ready {
			if b.ready {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	s := diagnosed{Pods: []diagnosedPod{}}
	for _, c := range all[:min(len(all), maxDiagnosedPods)] {
		s.Pods = append(s.Pods, c.diagnosedPod)
	}
	return s, nil
}

type namedContainer struct {
	Name string `json:"name"`
}

// diagnosticsRules are for the pods that were seen, and for any only where they are those of any target.
func diagnosticsRules(c Case) []rbacv1.PolicyRule {
	rules := []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get")}
	var names []string
	for _, p := range stateOf[diagnosed](c.Facts).Pods {
		names = append(names, p.Name)
	}
	if c.Facts.State == nil && c.Target.Name != "" { // nothing was seen: no pod is known but by the target's name
		names = []string{c.Target.Name}
	}
	if len(names) > 0 || c.Target.Name == "" {
		pods, logs := rule(Pod, "", "", "get"), rule(Pod, "log", "", "get")
		pods.ResourceNames, logs.ResourceNames = names, names
		if c.Kind != Pod {
			rules = append(rules, pods)
		}
		rules = append(rules, logs)
	}
	return append(rules, rule(event, "", "", "list"))
}

// diagnosticsReads are what is read besides the target: of each pod its state, its logs and its events, and those of the target.
func diagnosticsReads(c Case) []Read {
	p := parameters[diagnosticsParameters](c)
	if p.TailLines == 0 {
		p.TailLines = defaultTail
	}
	s := stateOf[diagnosed](c.Facts)
	about := func(uid string) Read { return Read{Kind: event, Fields: "involvedObject.uid=" + uid} }
	reads := []Read{about(c.Target.UID)}
	for _, pod := range s.Pods {
		if c.Kind != Pod {
			reads = append(reads, Read{Kind: Pod, Name: pod.Name}, about(pod.UID))
		}
		for _, container := range pod.Containers {
			query := map[string]string{"container": container, "tailLines": fmt.Sprint(p.TailLines), "limitBytes": fmt.Sprint(maxLog)}
			if p.Previous {
				query["previous"] = "true"
			}
			reads = append(reads, Read{Kind: Pod, Name: pod.Name, Subresource: "log", Query: query})
		}
	}
	return reads
}
