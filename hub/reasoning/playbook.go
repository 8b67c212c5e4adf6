package reasoning

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

const (
	maxPlaybook = 64 << 10 // bytes
	maxSummary  = 512      // bytes
	// costLimit bounds the evaluation of one condition, in CEL cost units.
	costLimit = 10_000
	// The bounds of a cooldown, and the one where none is given.
	minCooldown, defaultCooldown, maxCooldown = time.Minute, 10 * time.Minute, 7 * 24 * time.Hour
)

// Playbook says which action to propose on which signal. Make it with Parse.
type Playbook struct {
	Name   string
	Digest string // of the text
	Spec   PlaybookSpec

	cooldown time.Duration
	when     cel.Program // nil: always
}

// PlaybookSpec is what a playbook says.
type PlaybookSpec struct {
	// Signals are the reasons that it is about.
	Signals []signal.Reason `json:"signals"`
	// When is a CEL expression over signal, a signal.Signal; left out, it is true.
	When    string  `json:"when,omitempty"`
	Propose Propose `json:"propose"`
	// Cooldown is the least time between two proposals for one object, as Go writes durations. Left out: 10m.
	Cooldown string `json:"cooldown,omitempty"`
	// Summary tells people why.
	Summary string `json:"summary"`
}

// Propose is an action of the catalogue, on the object that the signal is about.
type Propose struct {
	Action     string          `json:"action"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

type document struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec PlaybookSpec `json:"spec"`
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Parse decodes and compiles one playbook. Unknown, duplicate and case-variant fields are errors, and so is what could never
// be proposed.
func Parse(raw []byte) (*Playbook, error) {
	if len(raw) > maxPlaybook {
		return nil, fmt.Errorf("playbook: longer than %d KiB", maxPlaybook>>10)
	}
	converted, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, fmt.Errorf("playbook: %w", err)
	}
	var d document
	strict, err := kjson.UnmarshalStrict(converted, &d)
	if err := errors.Join(append(strict, err)...); err != nil {
		return nil, fmt.Errorf("playbook: %w", err)
	}
	if d.APIVersion != v1alpha1.GroupVersion.String() || d.Kind != "Playbook" {
		return nil, fmt.Errorf("playbook: it is a %s of %q, not a Playbook of %q", d.Kind, d.APIVersion, v1alpha1.GroupVersion)
	}
	if !nameForm.MatchString(d.Metadata.Name) {
		return nil, errors.New("playbook: metadata.name must be 1 to 63 of a-z, 0-9 and -")
	}
	p := &Playbook{Name: d.Metadata.Name, Digest: bundle.Digest(raw), Spec: d.Spec}
	if err := p.complete(); err != nil {
		return nil, fmt.Errorf("playbook %s: %w", p.Name, err)
	}
	return p, nil
}

func (p *Playbook) complete() (err error) {
	if len(p.Spec.Signals) == 0 {
		return fmt.Errorf("spec.signals names none of %v", signal.Reasons())
	}
	for _, reason := range p.Spec.Signals {
		if !slices.Contains(signal.Reasons(), reason) {
			return fmt.Errorf("spec.signals: %q is none of %v", reason, signal.Reasons())
		}
	}
	if p.Spec.Summary == "" || len(p.Spec.Summary) > maxSummary || signal.Clean(p.Spec.Summary) != p.Spec.Summary {
		return fmt.Errorf("spec.summary must be one line of 1 to %d bytes", maxSummary)
	}
	action := catalogue.Actions()[p.Spec.Propose.Action]
	if action == nil {
		return fmt.Errorf("spec.propose.action: %q is none of %v", p.Spec.Propose.Action, catalogue.Names())
	}
	if err := action.Validate(p.Spec.Propose.Parameters); err != nil {
		return fmt.Errorf("spec.propose.parameters: %w", err)
	}
	p.cooldown = defaultCooldown
	if p.Spec.Cooldown != "" {
		if p.cooldown, err = time.ParseDuration(p.Spec.Cooldown); err != nil {
			return fmt.Errorf("spec.cooldown: %w", err)
		}
	}
	if p.cooldown < minCooldown || p.cooldown > maxCooldown {
		return fmt.Errorf("spec.cooldown must be %s to %s", minCooldown, maxCooldown)
	}
	if p.Spec.When != "" {
		if p.when, err = compile(p.Spec.When); err != nil {
			return fmt.Errorf("spec.when: %w", err)
		}
	}
	return nil
}

// compile checks a condition against the type of a signal; the error has the position.
func compile(expression string) (cel.Program, error) {
	env, err := cel.NewEnv(
		ext.NativeTypes(ext.ParseStructTag("json"), reflect.TypeFor[signal.Signal]()),
		ext.Strings(ext.StringsVersion(4)),
		cel.Variable("signal", cel.ObjectType("signal.Signal")),
	)
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("%q is a %s, not true or false", expression, ast.OutputType())
	}
	return env.Program(ast, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(100))
}

// Matches reports whether the playbook is for a signal. An error, such as a value that the signal does not have, means that
// it is not.
func (p *Playbook) Matches(s signal.Signal) (bool, error) {
	if !slices.Contains(p.Spec.Signals, s.Reason) || !p.actsOn(s.Object) {
		return false, nil
	}
	if p.when == nil {
		return true, nil
	}
	value, _, err := p.when.Eval(map[string]any{"signal": s})
	if err != nil {
		return false, fmt.Errorf("playbook %s: spec.when: %w", p.Name, err)
	}
	return value.Value() == true, nil
}

// actsOn reports whether the action can be done to an object of that kind.
func (p *Playbook) actsOn(o signal.Object) bool {
	_, ok := catalogue.Find(catalogue.Actions()[p.Spec.Propose.Action].Kinds, targetOf(o))
	return ok
}

func targetOf(o signal.Object) catalogue.Target {
	return catalogue.Target{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}
