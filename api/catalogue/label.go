package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// marks are labels or annotations; nil is one that is not there, or shall not be.
type marks struct {
	Values map[string]*string `json:"values"`
}

// markable kinds are those on which a label or an annotation of the object itself moves nothing. Not pods, whose labels make
// them members of Services; not nodes, whose labels attract pods.
func markable() []Kind {
	return []Kind{Deployment, StatefulSet, DaemonSet, CronJob, Job, Service, ConfigMap, PersistentVolumeClaim}
}

func label() *Action {
	value := &jsonschema.Schema{Type: "string", Pattern: `^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`, MaxLength: ptr(63)}
	return marking("label", "Set or remove labels of an object", "labels", value)
}

func annotate() *Action {
	return marking("annotate", "Set or remove annotations of an object", "annotations", &jsonschema.Schema{Type: "string", MaxLength: ptr(4096)})
}

func marking(name, summary, field string, value *jsonschema.Schema) *Action {
	value.Description = "value; null removes the key"
	return entry[marks, marks]{
		name: name, summary: summary, kinds: markable(),
		words: Words{"low", "the " + field + " as asked", "the former " + field},
		schema: object(map[string]*jsonschema.Schema{
			"values": entries(field+" by key; keys of Kubernetes, GitOps tools and Writ are refused",
				`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`, orNull(value)),
		}, "values"),
		see: func(_ Case, p marks, target []byte, _ [][]byte, _ marks) (marks, error) {
			live, err := decode[struct {
				Metadata map[string]any `json:"metadata"`
			}](target)
			there, _ := live.Metadata[field].(map[string]any)
			s := marks{map[string]*string{}}
			for key := range p.Values {
				if reserved(key) {
					return s, fmt.Errorf("%w: the key %s is reserved", ErrUnfit, key)
				}
				s.Values[key] = nil
				if is, ok := there[key].(string); ok {
					s.Values[key] = &is
				}
			}
			return s, err
		},
		tier: func(Case, marks, marks) (Tier, string) { return Low, "it marks the object and changes nothing else" },
		predict: func(_ Case, p marks, _ marks) Prediction {
			return wants(time.Minute, map[string]any{"values": p.Values})
		},
		inverse: func(_ Case, _ marks, s marks) *Undo { return &Undo{Action: name, Parameters: encode(s)} },
		change: func(_ Case, _ Stamp, p marks, live liveObject[marks]) (Change, error) {
			if Equal(live.state, p) {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"metadata": map[string]any{field: p.Values}}, "%s %s", field, difference(live.state.Values, p.Values)), nil
		},
	}.action()
}

// difference is what changes, in words.
func difference(was, asked map[string]*string) string {
	shown := func(v *string) string {
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%q", *v)
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		if !Equal(was[key], asked[key]) {
			all = append(all, fmt.Sprintf("%s %s → %s", key, shown(was[key]), shown(asked[key])))
		}
	}
	return strings.Join(all, ", ")
}

// reservedPrefixes are those of Kubernetes, of the tools that own objects by their labels, and of Writ. A domain below one of
// them is reserved too.
var reservedPrefixes = []string{"kubernetes.io", "k8s.io", "writ.dev", "argoproj.io", "fluxcd.io", "helm.sh", "cert-manager.io", "istio.io"}

func reserved(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return ok && slices.ContainsFunc(reservedPrefixes, func(p string) bool { return domain == p || strings.HasSuffix(domain, "."+p) })
}
