package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// variable is a value, or a key of a ConfigMap; never of a Secret.
type variable struct {
	Value     *string `json:"value,omitempty"`
	ConfigMap string  `json:"configMap,omitempty"`
	Key       string  `json:"key,omitempty"`
}

func (v variable) String() string {
	if v.Value == nil {
		return fmt.Sprintf("key %s of ConfigMap %s", v.Key, v.ConfigMap)
	}
	return "a value"
}

type envParameters struct {
	Container string              `json:"container"`
	Env       map[string]variable `json:"env"`
}

// seen is a variable as it may be told outside the cluster: a value may be a password, and stays there.
type seen struct {
	Plain     bool   `json:"plain,omitempty"` // it is a value
	AsAsked   bool   `json:"asAsked,omitempty"`
	ConfigMap string `json:"configMap,omitempty"`
	Key       string `json:"key,omitempty"`
}

func (s seen) String() string {
	if s.Plain {
		return "a value"
	}
	return variable{ConfigMap: s.ConfigMap, Key: s.Key}.String()
}

// envState has those of the variables asked for that are set.
type envState struct {
	Env map[string]seen `json:"env"`
	// Generation is that of the workload: values that are not told must not have moved either.
	Generation int64 `json:"generation"`
	// AsAsked: all of the variables are.
	AsAsked bool `json:"asAsked"`
}

func envSchema() *jsonschema.Schema {
	value := object(map[string]*jsonschema.Schema{
		"value":     {Type: "string", Description: "plain value", MaxLength: ptr(4096)},
		"configMap": text("name of a ConfigMap in the namespace", `^[a-z0-9][-a-z0-9.]*$`, 253),
		"key":       text("its key", `^[-._a-zA-Z0-9]+$`, 253),
	})
	value.OneOf = []*jsonschema.Schema{{Required: []string{"value"}}, {Required: []string{"configMap", "key"}}}
	return withContainer(map[string]*jsonschema.Schema{
		"env": entries("variables to set, by name", `^[A-Za-z_][A-Za-z0-9_]*$`, value),
	}, "env")
}

func setEnv() *Action {
	return entry[envParameters, envState]{
		name:  "set-env",
		words: Words{"medium; high for `PATH` and `LD_*`", "fully available with the variables as asked", "the former ConfigMap keys; rollback where there were values, which are told to nobody"}, summary: "Set environment variables of a container of a workload", kinds: rolling(), schema: envSchema(),
		see: seeEnv,
		tier: func(_ Case, p envParameters, _ envState) (Tier, string) {
			for _, name := range slices.Sorted(maps.Keys(p.Env)) {
				if strings.HasPrefix(name, "LD_") || name == "PATH" {
					return High, name + " decides which code runs"
				}
			}
			return Medium, "it restarts all pods with other settings"
		},
		predict: func(c Case, _ envParameters, _ envState) Prediction {
			return rolledOut(c, map[string]any{"asAsked": true})
		},
		inverse: func(c Case, p envParameters, s envState) *Undo {
			former := envParameters{p.Container, map[string]variable{}}
			for name := range p.Env {
				was, ok := s.Env[name]
				if !ok || was.Plain {
					return templateBefore(c) // not set before, or set to what is told to nobody
				}
				former.Env[name] = variable{ConfigMap: was.ConfigMap, Key: was.Key}
			}
			return &Undo{Action: "set-env", Parameters: encode(former)}
		},
		change: func(_ Case, _ Stamp, p envParameters, live liveObject[envState]) (Change, error) {
			if live.state.AsAsked {
				return Change{}, ErrNothingToDo
			}
			var list []any
			var says []string
			for _, name := range slices.Sorted(maps.Keys(p.Env)) {
				list = append(list, patchOf(name, p.Env[name]))
				before := "unset"
				if was, ok := live.state.Env[name]; ok {
					before = was.String()
				}
				says = append(says, fmt.Sprintf("%s %s → %s", name, before, p.Env[name]))
			}
			return live.strategic(template(p.Container, map[string]any{"env": list}), "%s: %s", p.Container, strings.Join(says, ", ")), nil
		},
	}.action()
}

// patchOf sets one form of a variable and removes the other.
func patchOf(name string, v variable) map[string]any {
	if v.Value != nil {
		return map[string]any{"name": name, "value": *v.Value, "valueFrom": nil}
	}
	return map[string]any{"name": name, "value": nil,
		"valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": v.ConfigMap, "key": v.Key}}}
}

// seeEnv reads the variables asked for. One that comes from anything but a value or a ConfigMap is left alone: the action
// could not put it back, and a Secret's is none of its business.
func seeEnv(c Case, p envParameters, target []byte, _ [][]byte, _ envState) (envState, error) {
	found, err := containerOf(c.Kind, target, p.Container)
	if err != nil {
		return envState{}, err
	}
	live, err := decode[struct {
		Metadata objectMeta `json:"metadata"`
	}](target)
	s := envState{Env: map[string]seen{}, Generation: live.Metadata.Generation}
	for _, v := range found.Env {
		asked, ok := p.Env[v.Name]
		if !ok {
			continue
		}
		switch {
		case v.ValueFrom == nil:
			s.Env[v.Name] = seen{Plain: true, AsAsked: asked.Value != nil && *asked.Value == v.Value}
		case v.ValueFrom.ConfigMapKeyRef != nil:
			from := v.ValueFrom.ConfigMapKeyRef
			s.Env[v.Name] = seen{ConfigMap: from.Name, Key: from.Key,
				AsAsked: asked.Value == nil && asked.ConfigMap == from.Name && asked.Key == from.Key}
		default:
			return s, fmt.Errorf("%w: %s comes from neither a value nor a ConfigMap", ErrUnfit, v.Name)
		}
	}
	s.AsAsked = len(s.Env) == len(p.Env)
	for _, v := range s.Env {
		s.AsAsked = s.AsAsked && v.AsAsked
	}
	return s, err
}
