package catalogue

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

func cordon() *Action {
	return scheduling("cordon", "Keep new pods from a node", "uncordon", true)
}

func uncordon() *Action {
	return scheduling("uncordon", "Let new pods onto a node again", "cordon", false)
}

func scheduling(name, summary, opposite string, to bool) *Action {
	a := toggle(name, summary, opposite, Node, "unschedulable", to)
	a.Words.Tiers = "medium"
	a.Tier = func(Case) (Tier, string) { return Medium, "it changes where pods can go in the whole cluster" }
	if to {
		a.Guard = func(Case) string { return noNewPods }
		a.Lists = []Kind{Node} // Facts.Nodes
	}
	return a
}

// taint is one of a node. Several may have the same key, with different effects.
type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

func (t taint) String() string { return t.Key + "=" + t.Value + ":" + t.Effect }

// taintState is the taint of that key and effect; the value is nil where there is none.
type taintState struct {
	Value *string `json:"value"`
	place int
	all   int
}

func taintNode() *Action {
	return tainting("taint-node", "Set a taint of a node", true)
}

func untaintNode() *Action {
	return tainting("untaint-node", "Remove a taint from a node", false)
}

func tainting(name, summary string, set bool) *Action {
	return entry[taint, taintState]{
		name: name, summary: summary, kinds: []Kind{Node},
		words: Words{"medium; high for NoExecute", "the taint as asked", "the other one of taint-node and untaint-node, or the former value"},
		schema: object(map[string]*jsonschema.Schema{
			"key":    text("key, outside the prefixes of Kubernetes and Writ", `^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`, 253),
			"value":  {Type: "string", Pattern: `^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`, MaxLength: ptr(63), Description: "value; of a removal, what it must have"},
			"effect": choice("what happens to pods that do not tolerate it", "NoSchedule", "PreferNoSchedule", "NoExecute"),
		}, "key", "effect"),
		see: func(_ Case, p taint, target []byte, _ [][]byte, _ taintState) (taintState, error) {
			if reserved(p.Key) {
				return taintState{}, fmt.Errorf("%w: the key %s is reserved", ErrUnfit, p.Key)
			}
			live, err := decode[struct {
				Spec struct {
					Taints []taint `json:"taints"`
				} `json:"spec"`
			}](target)
			s := taintState{place: slices.IndexFunc(live.Spec.Taints, func(t taint) bool { return t.Key == p.Key && t.Effect == p.Effect }),
				all: len(live.Spec.Taints)}
			if s.place >= 0 {
				s.Value = &live.Spec.Taints[s.place].Value
			}
			return s, err
		},
		tier: func(_ Case, p taint, _ taintState) (Tier, string) {
			if p.Effect == "NoExecute" {
				return High, "NoExecute evicts what runs, without asking budgets"
			}
			return Medium, "it changes where pods can go in the whole cluster"
		},
		predict: func(_ Case, p taint, _ taintState) Prediction {
			want := map[string]any{"value": nil}
			if set {
				want["value"] = p.Value
			}
			return wants(time.Minute, want)
		},
		inverse: func(_ Case, p taint, s taintState) *Undo {
			if s.Value == nil {
				return &Undo{Action: "untaint-node", Parameters: encode(p)}
			}
			return &Undo{Action: "taint-node", Parameters: encode(taint{p.Key, *s.Value, p.Effect})}
		},
		change: func(_ Case, _ Stamp, p taint, live liveObject[taintState]) (Change, error) {
			s := live.state
			if set && s.Value != nil && *s.Value == p.Value || !set && s.Value == nil {
				return Change{}, ErrNothingToDo
			}
			operations, place := live.marked(), fmt.Sprintf("/spec/taints/%d", s.place)
			switch {
			case !set:
				if p.Value != "" && p.Value != *s.Value {
					return Change{}, fmt.Errorf("%w: its value is %q", ErrUnfit, *s.Value)
				}
				operations = append(operations, operation{"remove", place, nil})
			case s.Value != nil:
				operations = append(operations, operation{"replace", place, p})
			case s.all == 0:
				operations = append(operations, operation{"add", "/spec/taints", []taint{p}})
			default:
				operations = append(operations, operation{"add", "/spec/taints/-", p})
			}
			return Change{PatchType: jsonPatch, Body: encode(operations), Says: name + " " + p.String()}, nil
		},
	}.action()
}
