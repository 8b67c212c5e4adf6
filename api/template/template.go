package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/writ-dev/writ/api/catalogue"
)

// compiled is a definition with its expressions understood.
type compiled struct {
	Definition
	fields      map[string]cel.Program
	validations []cel.Program
	inverse     map[string]cel.Program // nil where there is none
	validate    func(parameters json.RawMessage) error
}

// Compile makes the action of a definition. The error names what is wrong by its field, and in an expression by its position. A
// definition that was compiled before, of the same digest, is not compiled again.
func Compile(d Definition) (*catalogue.Action, error) {
	digest := d.Digest()
	if action := recent.get(digest); action != nil {
		return action, nil
	}
	action, err := compile(d)
	if err != nil {
		return nil, err
	}
	recent.put(digest, action)
	return action, nil
}

// memory keeps what was compiled lately. It changes no answer, only how long it takes.
type memory struct {
	mu      sync.Mutex // guards actions
	actions map[string]*catalogue.Action
}

// maxRecent bounds the memory; a site has a handful of templates.
const maxRecent = 64

var recent = &memory{actions: map[string]*catalogue.Action{}}

func (m *memory) get(digest string) *catalogue.Action {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.actions[digest]
}

func (m *memory) put(digest string, action *catalogue.Action) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.actions) >= maxRecent {
		clear(m.actions)
	}
	m.actions[digest] = action
}

func compile(d Definition) (*catalogue.Action, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	c := &compiled{Definition: d, fields: map[string]cel.Program{}}
	if err := c.compileExpressions(); err != nil {
		return nil, err
	}
	site := catalogue.Site{
		Name: d.Name, Summary: d.Summary, Words: c.words(), Kind: d.Target.catalogued(), Schema: d.Parameters.schema(),
		Paths: map[string][]string{}, Compute: c.compute, Inverse: c.former, Within: time.Minute,
	}
	site.Least, site.Why = c.least()
	if d.WithinSeconds > 0 {
		site.Within = time.Duration(d.WithinSeconds) * time.Second
	}
	for _, f := range d.Fields {
		site.Paths[f.Name], _ = split(f.Path)
	}
	for _, o := range d.Observe {
		site.Paths[o.Name], _ = split(o.Path)
	}
	action, err := site.Action()
	if err != nil {
		return nil, err
	}
	c.validate = action.Validate
	return action, nil
}

func (c *compiled) compileExpressions() error {
	env, err := c.environment()
	if err != nil {
		return err
	}
	var faults []error
	for i, f := range c.Fields {
		run, _, err := compileExpression(env, f.Expression)
		if err != nil {
			faults = append(faults, fmt.Errorf("fields[%d].expression: %w", i, err))
		}
		c.fields[f.Name] = run
	}
	for i, v := range c.Validations {
		run, of, err := compileExpression(env, v.Expression)
		if err == nil && !of.IsExactType(cel.BoolType) {
			err = fmt.Errorf("%q is a %s, not true or false", v.Expression, of)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("validations[%d].expression: %w", i, err))
		}
		if len(v.Message) > 512 {
			faults = append(faults, fmt.Errorf("validations[%d].message: it is longer than 512 bytes", i))
		}
		c.validations = append(c.validations, run)
	}
	inverse := c.Inverse
	if len(inverse) == 0 {
		inverse = c.straight()
	}
	if len(inverse) > 0 {
		c.inverse = map[string]cel.Program{}
	}
	for _, name := range slices.Sorted(maps.Keys(inverse)) {
		run, of, err := compileExpression(env, inverse[name])
		if p, ok := c.Parameters.Properties[name]; !ok {
			err = errors.New("there is no such parameter")
		} else if err == nil && !p.celType().IsAssignableType(of) && !of.IsExactType(cel.DynType) {
			err = fmt.Errorf("%q is a %s, the parameter a %s", inverse[name], of, p.celType())
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("inverse.%s: %w", name, err))
		}
		c.inverse[name] = run
	}
	return errors.Join(faults...)
}

// straight is the inverse of fields that are set to parameters as they are.
func (c *compiled) straight() map[string]string {
	inverse := map[string]string{}
	for _, f := range c.Fields {
		name, ok := strings.CutPrefix(strings.TrimSpace(f.Expression), parametersName+".")
		if _, is := c.Parameters.Properties[name]; ok && is {
			inverse[name] = observedName + "." + f.Name
		}
	}
	return inverse
}

// compute returns what the fields are set to, once the validations have passed.
func (c *compiled) compute(parameters, seen map[string]any) (map[string]any, error) {
	values := c.values(parameters, seen)
	for i, run := range c.validations {
		v := c.Validations[i]
		got, err := eval(run, values)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %q failed: %w", catalogue.ErrUnfit, v.Expression, err)
		case got != true && v.Message != "":
			return nil, fmt.Errorf("%w: %s", catalogue.ErrUnfit, v.Message)
		case got != true:
			return nil, fmt.Errorf("%w: %q is false", catalogue.ErrUnfit, v.Expression)
		}
	}
	computed := make(map[string]any, len(c.fields))
	for name, run := range c.fields {
		got, err := eval(run, values)
		if err != nil {
			return nil, fmt.Errorf("%w: %s cannot be computed: %w", catalogue.ErrUnfit, name, err)
		}
		computed[name] = got
	}
	return computed, nil
}

// former returns the parameters that put back what was seen: those, and only those, of which the action's own expressions make what
// was there before. The parameters that the inverse does not name are as they were.
func (c *compiled) former(parameters, seen map[string]any) map[string]any {
	computed, err := c.compute(parameters, seen)
	if err != nil || c.inverse == nil {
		return nil
	}
	values, back := c.values(parameters, seen), maps.Clone(parameters)
	if back == nil {
		back = map[string]any{}
	}
	for name, run := range c.inverse {
		if back[name], err = eval(run, values); err != nil {
			return nil
		}
	}
	after := maps.Clone(seen)
	maps.Copy(after, computed)
	raw, err := json.Marshal(back)
	if err != nil || c.validate(raw) != nil {
		return nil
	}
	put, err := c.compute(back, after)
	if err != nil {
		return nil
	}
	for name, value := range put {
		if !catalogue.Equal(value, seen[name]) {
			return nil
		}
	}
	return back
}

func (c *compiled) values(parameters, seen map[string]any) map[string]any {
	known := map[string]any{}
	for _, f := range c.Fields {
		known[f.Name] = whole(seen[f.Name])
	}
	for _, o := range c.Observe {
		known[o.Name] = whole(seen[o.Name])
	}
	return map[string]any{parametersName: c.Parameters.typed(parameters), observedName: known}
}

func eval(run cel.Program, values map[string]any) (any, error) {
	got, _, err := run.Eval(values)
	if err != nil {
		return nil, err
	}
	return native(got)
}

// least is the tier that the action demands at least.
func (c *compiled) least() (catalogue.Tier, string) {
	switch {
	case slices.Contains(guarded(), c.Target.catalogued()):
		return catalogue.High, "a " + c.Target.Kind + " guards others, or says where their traffic goes"
	case c.MinTier == catalogue.High:
		return catalogue.High, "its template demands it"
	}
	return catalogue.Medium, "it is an action of this site's own"
}

// words are what is said of the action where nothing runs.
func (c *compiled) words() catalogue.Words {
	tier, _ := c.least()
	var set []string
	for _, f := range c.Fields {
		set = append(set, f.Name+" ("+f.Path+")")
	}
	undone := "none"
	if len(c.Inverse) > 0 || len(c.straight()) > 0 {
		undone = c.Name + " with the former values, where the parameters can say them"
	}
	return catalogue.Words{Tiers: string(tier), Prediction: strings.Join(set, ", ") + " as computed", Inverse: undone}
}
