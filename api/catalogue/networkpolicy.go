package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// trafficRules are what a NetworkPolicy says of the pods that it selects.
type trafficRules struct {
	PolicyTypes []string `json:"policyTypes"`
	Ingress     []any    `json:"ingress,omitempty"`
	Egress      []any    `json:"egress,omitempty"`
}

func (r trafficRules) digest() string {
	sum := sha256.Sum256(encode(r))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// trafficTemplates are the rules that can be asked for: there are no others.
var trafficTemplates = map[string]trafficRules{
	"deny-all":       {PolicyTypes: []string{"Ingress", "Egress"}},
	"deny-ingress":   {PolicyTypes: []string{"Ingress"}},
	"deny-egress":    {PolicyTypes: []string{"Egress"}},
	"same-namespace": {PolicyTypes: []string{"Ingress"}, Ingress: []any{map[string]any{"from": []any{map[string]any{"podSelector": map[string]any{}}}}}},
	"dns-only": {PolicyTypes: []string{"Egress"}, Egress: []any{map[string]any{"ports": []any{
		map[string]any{"port": 53, "protocol": "UDP"}, map[string]any{"port": 53, "protocol": "TCP"}}}}},
}

// former is the template that stands for the rules before the last change that Writ made; formerAnnotation keeps them.
const (
	former           = "former"
	formerAnnotation = "writ.dev/former"
)

type trafficParameters struct {
	Template string `json:"template"`
	// Digest of the former rules, so that an undo of one change never undoes another.
	Digest string `json:"digest,omitempty"`
}

// wanted is the digest of the rules that are asked for.
func (p trafficParameters) wanted(s trafficState) string {
	switch {
	case p.Template != former:
		return trafficTemplates[p.Template].digest()
	case p.Digest != "":
		return p.Digest
	}
	return s.Former
}

type trafficState struct {
	Rules  string `json:"rules"`            // digest
	Former string `json:"former,omitempty"` // digest

	now, before trafficRules
	has         bool // the annotation
}

// templates is the schema of a template's name, with more names than those of trafficTemplates.
func templates(more ...string) *jsonschema.Schema {
	names := append([]string{"deny-all", "deny-egress", "deny-ingress", "dns-only", "same-namespace"}, more...)
	return choice("what the policy says: nothing may go in or out (deny-all), or one way alone; DNS alone may go out (dns-only); "+
		"only the namespace's own pods may come in (same-namespace)", names...)
}

func setNetworkPolicy() *Action {
	return entry[trafficParameters, trafficState]{
		name: "set-networkpolicy", summary: "Set the rules of a NetworkPolicy to a named template, or back", kinds: []Kind{NetworkPolicy},
		words: Words{"high", "the rules as asked", "the former rules"},
		schema: object(map[string]*jsonschema.Schema{
			"template": templates(former),
			"digest":   text("with former: the digest that the former rules must have", `^sha256:[0-9a-f]{64}$`, 71),
		}, "template"),
		see: seeTraffic,
		same: func(judged, now trafficState) bool {
			return judged.Rules == now.Rules && judged.Former == now.Former
		},
		tier: func(Case, trafficParameters, trafficState) (Tier, string) {
			return High, "it opens or cuts connections"
		},
		predict: func(_ Case, p trafficParameters, s trafficState) Prediction {
			return wants(time.Minute, map[string]any{"rules": p.wanted(s)})
		},
		inverse: func(_ Case, _ trafficParameters, s trafficState) *Undo {
			return &Undo{Action: "set-networkpolicy", Parameters: encode(trafficParameters{former, s.Rules})}
		},
		change: func(_ Case, _ Stamp, p trafficParameters, live liveObject[trafficState]) (Change, error) {
			if p.wanted(live.state) == live.state.Rules {
				return Change{}, ErrNothingToDo
			}
			to := live.state.before
			if p.Template != former {
				to = trafficTemplates[p.Template]
			}
			operations := append(live.marked(), operation{"add", "/metadata/annotations/writ.dev~1former", string(encode(live.state.now))},
				operation{"add", "/spec/policyTypes", to.PolicyTypes}, operation{"add", "/spec/ingress", to.Ingress}, operation{"add", "/spec/egress", to.Egress})
			return Change{PatchType: jsonPatch, Body: encode(operations), Says: fmt.Sprintf("rules %s → %s", encode(live.state.now), encode(to))}, nil
		},
	}.action()
}

func seeTraffic(_ Case, p trafficParameters, target []byte, _ [][]byte, _ trafficState) (trafficState, error) {
	live, err := decode[struct {
		Metadata objectMeta   `json:"metadata"`
		Spec     trafficRules `json:"spec"`
	}](target)
	if err != nil {
		return trafficState{}, err
	}
	s := trafficState{Rules: live.Spec.digest(), now: live.Spec}
	if kept, ok := live.Metadata.Annotations[formerAnnotation]; ok && json.Unmarshal([]byte(kept), &s.before) == nil {
		s.has, s.Former = true, s.before.digest()
	}
	switch {
	case p.Template == former && !s.has:
		return s, fmt.Errorf("%w: Writ has kept no former rules of it", ErrUnfit)
	case p.Template == former && p.Digest != "" && p.Digest != s.Former && p.Digest != s.Rules:
		return s, fmt.Errorf("%w: its former rules are not those that are to come back: it was changed since", ErrUnfit)
	}
	return s, nil
}

// selectingState is what making a NetworkPolicy for a workload's pods is judged on.
type selectingState struct {
	Selector map[string]string `json:"selector"`
	Made     bool              `json:"made"`
}

func addNetworkPolicy() *Action {
	return entry[trafficParameters, selectingState]{
		name: "add-networkpolicy", summary: "Make a NetworkPolicy of a named template for the pods of a workload", kinds: rolling(), effect: Creates,
		words:  Words{"high", "the policy is there", "delete-networkpolicy of the policy"},
		schema: object(map[string]*jsonschema.Schema{"template": templates()}, "template"),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get"), rule(NetworkPolicy, "", "", "create")}
		},
		made: madeNetworkPolicy, gets: []Kind{NetworkPolicy},
		look: func(c Case, _ []byte, _ selectingState) []Read {
			if c.OrderID == "" {
				return nil
			}
			return []Read{madeNetworkPolicy(c)}
		},
		see: func(_ Case, _ trafficParameters, target []byte, looked [][]byte, _ selectingState) (selectingState, error) {
			live, err := decode[struct {
				Spec struct {
					Selector struct {
						Labels      map[string]string `json:"matchLabels"`
						Expressions []any             `json:"matchExpressions"`
					} `json:"selector"`
				} `json:"spec"`
			}](target)
			s := selectingState{Selector: live.Spec.Selector.Labels, Made: len(looked) == 1 && looked[0] != nil}
			if err == nil && (len(s.Selector) == 0 || len(live.Spec.Selector.Expressions) > 0) {
				err = fmt.Errorf("%w: it does not select its pods by labels alone", ErrUnfit)
			}
			return s, err
		},
		same: func(judged, now selectingState) bool { return Equal(judged.Selector, now.Selector) },
		tier: func(Case, trafficParameters, selectingState) (Tier, string) { return High, "it cuts connections" },
		predict: func(Case, trafficParameters, selectingState) Prediction {
			return wants(time.Minute, map[string]any{"made": true})
		},
		inverse: func(c Case, _ trafficParameters, _ selectingState) *Undo {
			if c.OrderID == "" {
				return nil
			}
			return &Undo{Action: "delete-networkpolicy", Parameters: encode(struct{}{}), Target: &Target{APIVersion: NetworkPolicy.APIVersion,
				Kind: NetworkPolicy.Kind, Namespace: c.Target.Namespace, Name: madeNetworkPolicy(c).Name}}
		},
		change: func(c Case, stamp Stamp, p trafficParameters, live liveObject[selectingState]) (Change, error) {
			made := madeNetworkPolicy(c)
			spec := struct {
				PodSelector any `json:"podSelector"`
				trafficRules
			}{map[string]any{"matchLabels": live.state.Selector}, trafficTemplates[p.Template]}
			return Change{Verb: Create, Kind: NetworkPolicy, Name: made.Name, Says: fmt.Sprintf("make NetworkPolicy %s (%s) for pods with %s",
				made.Name, p.Template, selector(live.state.Selector)),
				Body: encode(map[string]any{"apiVersion": NetworkPolicy.APIVersion, "kind": NetworkPolicy.Kind, "spec": spec, "metadata": map[string]any{
					"name": made.Name, "namespace": c.Target.Namespace, "annotations": map[string]string{OrderAnnotation: stamp.OrderID}}})}, nil
		},
	}.action()
}

func madeNetworkPolicy(c Case) Read { return Read{Kind: NetworkPolicy, Name: madeName(c)} }

type rulesState struct {
	Rules trafficRules `json:"rules"`
}

func deleteNetworkPolicy() *Action {
	return entry[struct{}, rulesState]{
		name: "delete-networkpolicy", summary: "Delete a NetworkPolicy that add-networkpolicy has made", kinds: []Kind{NetworkPolicy}, effect: Deletes,
		words: Words{"high", "gone", "none"}, schema: object(nil),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(NetworkPolicy, "", c.Target.Name, "get", "delete")}
		},
		see: func(c Case, _ struct{}, target []byte, _ [][]byte, judged rulesState) (rulesState, error) {
			if target == nil {
				return judged, nil
			}
			live, err := decode[struct {
				Metadata objectMeta   `json:"metadata"`
				Spec     trafficRules `json:"spec"`
			}](target)
			if err == nil && (live.Metadata.Annotations[OrderAnnotation] == "" || !madeNames.MatchString(c.Target.Name)) {
				err = fmt.Errorf("%w: no order has made it", ErrUnfit)
			}
			return rulesState{live.Spec}, err
		},
		tier:    func(Case, struct{}, rulesState) (Tier, string) { return High, "it opens connections" },
		predict: func(Case, struct{}, rulesState) Prediction { return Prediction{Expect: Gone, WithinSeconds: 60} },
		change: func(_ Case, _ Stamp, _ struct{}, live liveObject[rulesState]) (Change, error) {
			return live.deleted(deleteOptions{}, "delete, rules %s", encode(live.state.Rules)), nil
		},
	}.action()
}
