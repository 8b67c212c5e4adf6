package template

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/jsonschema-go/jsonschema"
)

// The bounds of what is not bounded by its schema.
const (
	longest  = 1024 // bytes of a string
	manyMost = 64   // entries of an array or an object
)

// check refuses a schema that cannot be meant.
func (p Parameters) check() error {
	var faults []error
	if len(p.Properties) > maxParameters {
		faults = append(faults, fmt.Errorf("properties: more than %d", maxParameters))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Properties)) {
		err := p.Properties[name].check()
		if !varName.MatchString(name) {
			err = errors.New("it is no name that an expression can say")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("properties.%s: %w", name, err))
		}
	}
	for i, name := range p.Required {
		if _, ok := p.Properties[name]; !ok {
			faults = append(faults, fmt.Errorf("required[%d]: %q is no property", i, name))
		}
		if slices.Contains(p.Required[:i], name) {
			faults = append(faults, fmt.Errorf("required[%d]: %q is there twice", i, name))
		}
	}
	return errors.Join(faults...)
}

func (p Parameter) check() error {
	of := map[string]*Value{"array": p.Items, "object": p.AdditionalProperties}
	switch {
	case p.Items != nil && p.Type != "array", p.MaxItems != nil && p.Type != "array":
		return errors.New("items: they are of an array")
	case p.AdditionalProperties != nil && p.Type != "object", p.MaxProperties != nil && p.Type != "object":
		return errors.New("additionalProperties: they are of an object")
	case !within1(p.MaxItems, 1, 256) || !within1(p.MaxProperties, 1, 256):
		return errors.New("maxItems and maxProperties: they are within 1 to 256")
	case p.Type != "array" && p.Type != "object":
		return p.Value.check()
	case of[p.Type] == nil:
		return fmt.Errorf("type: an %s says of what: items, or additionalProperties", p.Type)
	case p.bounded():
		return fmt.Errorf("type: an %s has no enum, pattern, length, minimum or maximum", p.Type)
	}
	return of[p.Type].check()
}

func (v Value) bounded() bool {
	return len(v.Enum) > 0 || v.Pattern != "" || v.MinLength != nil || v.MaxLength != nil || v.Minimum != nil || v.Maximum != nil
}

func (v Value) check() error {
	text, number := v.Type == "string", v.Type == "integer" || v.Type == "number"
	switch {
	case !text && !number && v.Type != "boolean":
		return fmt.Errorf("type: %q is none of string, integer, number, boolean, nor array or object of these", v.Type)
	case !text && (len(v.Enum) > 0 || v.Pattern != "" || v.MinLength != nil || v.MaxLength != nil):
		return errors.New("enum, pattern, minLength and maxLength: they are of a string")
	case !number && (v.Minimum != nil || v.Maximum != nil):
		return errors.New("minimum and maximum: they are of a number")
	case v.Minimum != nil && v.Maximum != nil && *v.Minimum > *v.Maximum:
		return errors.New("minimum: it is above maximum")
	case !within1(v.MinLength, 0, 8192) || !within1(v.MaxLength, 0, 8192):
		return errors.New("minLength and maxLength: they are within 0 to 8192")
	case !within1(v.Minimum, -1<<53, 1<<53) || !within1(v.Maximum, -1<<53, 1<<53):
		return errors.New("minimum and maximum: JSON has no such whole numbers")
	case len(v.Description) > 512 || len(v.Enum) > 64:
		return errors.New("description: at most 512 bytes; enum: at most 64 values")
	}
	if _, err := regexp.Compile(v.Pattern); err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	return nil
}

func within1(n *int64, least, most int64) bool { return n == nil || *n >= least && *n <= most }

// schema is the JSON Schema of the parameters. What it does not name is refused.
func (p Parameters) schema() *jsonschema.Schema {
	s := closed()
	s.Properties, s.Required = map[string]*jsonschema.Schema{}, slices.Sorted(slices.Values(p.Required))
	for name, one := range p.Properties {
		s.Properties[name] = one.schema()
	}
	return s
}

func closed() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}

func (p Parameter) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: p.Type, Description: p.Description}
	switch p.Type {
	case "array":
		s.Items, s.MaxItems = p.Items.schema(), most(p.MaxItems, manyMost)
	case "object":
		s.AdditionalProperties, s.MaxProperties = p.AdditionalProperties.schema(), most(p.MaxProperties, manyMost)
		s.PropertyNames = &jsonschema.Schema{MaxLength: most(nil, 253)}
	default:
		return p.Value.schema()
	}
	return orNull(s, p.Nullable)
}

func (v Value) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: v.Type, Description: v.Description, Pattern: v.Pattern}
	for _, one := range v.Enum {
		s.Enum = append(s.Enum, one)
	}
	if v.Nullable && len(v.Enum) > 0 {
		s.Enum = append(s.Enum, nil)
	}
	if v.Type == "string" {
		s.MaxLength = most(v.MaxLength, longest)
		if v.MinLength != nil {
			s.MinLength = most(v.MinLength, 0)
		}
	}
	if v.Minimum != nil {
		s.Minimum = new(float64(*v.Minimum))
	}
	if v.Maximum != nil {
		s.Maximum = new(float64(*v.Maximum))
	}
	if v.Type == "integer" && v.Minimum == nil {
		s.Minimum = new(float64(-1 << 53))
	}
	if v.Type == "integer" && v.Maximum == nil {
		s.Maximum = new(float64(1 << 53))
	}
	return orNull(s, v.Nullable)
}

func orNull(s *jsonschema.Schema, nullable bool) *jsonschema.Schema {
	if nullable {
		s.Types, s.Type = []string{s.Type, "null"}, ""
	}
	return s
}

func most(n *int64, otherwise int) *int {
	if n == nil {
		return &otherwise
	}
	return new(int(*n))
}

// celType is how an expression knows a parameter.
func (p Parameter) celType() *cel.Type {
	var of *cel.Type
	switch p.Type {
	case "array":
		of = cel.ListType(p.Items.celType())
	case "object":
		of = cel.MapType(cel.StringType, p.AdditionalProperties.celType())
	default:
		return p.Value.celType()
	}
	if p.Nullable {
		return cel.DynType // CEL has no type for a list that may be null
	}
	return of
}

func (v Value) celType() *cel.Type {
	of := map[string]*cel.Type{"string": cel.StringType, "integer": cel.IntType, "number": cel.DoubleType, "boolean": cel.BoolType}[v.Type]
	if v.Nullable {
		return cel.NullableType(of)
	}
	return of
}
