// Package template holds the actions that a site defines itself, without Go: fields of one kind, computed by CEL from parameters and
// from what is seen of the target.
//
// A definition travels whole in the order that is made by it, and whoever judges the order compiles it and computes everything anew. It
// promises that equal content is equal everywhere: the same digest, the same rights, the same values. It does no I/O and has no
// clock; what it evaluates is bounded in cost.
package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/catalogue"
)

// maxDefinition bounds a definition, in bytes of JSON: it is part of every order that is made by it.
const maxDefinition = 16 << 10

// Definition is one action of a site. An ActionTemplate declares one; its name is the action's.
type Definition struct {
	Name string `json:"name"`
	Spec
}

// Spec is what an ActionTemplate says.
type Spec struct {
	Summary string `json:"summary"`
	// Target is the one kind that the action takes, with the resource by which the API server knows it.
	Target Target `json:"target"`
	// Parameters are a subset of JSON Schema (draft 2020-12).
	Parameters Parameters `json:"parameters,omitzero"`
	// Observe are the places in the target that expressions may look at besides the fields, as observed.NAME.
	Observe []Place `json:"observe,omitempty"`
	// Validations must all be true before anything is done.
	Validations []Validation `json:"validations,omitempty"`
	// Fields are what the action sets.
	Fields []Field `json:"fields"`
	// Inverse are the parameters with which the action puts back what it has changed, as expressions over the parameters and what was
	// seen before. Left out: those parameters that fields are set to as they are.
	Inverse map[string]string `json:"inverse,omitempty"`
	// MinTier is medium, which is the least that there is, or high. Left out: medium.
	MinTier catalogue.Tier `json:"minTier,omitempty"`
	// WithinSeconds is how long the fields may take to be as computed. Left out: 60.
	WithinSeconds int64 `json:"withinSeconds,omitempty"`
}

// Target is a kind that has a namespace.
type Target struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Resource   string `json:"resource"` // such as "deployments"
}

// Place names a place in the target.
type Place struct {
	Name string `json:"name"`
	// Path is a JSON pointer (RFC 6901): "/spec/logLevel". It leads through objects, not through lists.
	Path string `json:"path"`
}

// Field is a field that the action sets, to what a CEL expression computes; null removes it.
type Field struct {
	Name       string `json:"name"`
	Path       string `json:"path"`
	Expression string `json:"expression"`
}

// Validation is one condition, as CEL.
type Validation struct {
	Expression string `json:"expression"`
	Message    string `json:"message,omitempty"`
}

// Parameters are what the action takes.
type Parameters struct {
	Properties map[string]Parameter `json:"properties,omitempty"`
	Required   []string             `json:"required,omitempty"`
}

// Parameter is one of them: a value, a list of values, or a map of values by free keys.
type Parameter struct {
	Value
	// Items are those of an array, at most MaxItems (64 where left out).
	Items    *Value `json:"items,omitempty"`
	MaxItems *int64 `json:"maxItems,omitempty"`
	// AdditionalProperties are the values of an object, at most MaxProperties (64 where left out).
	AdditionalProperties *Value `json:"additionalProperties,omitempty"`
	MaxProperties        *int64 `json:"maxProperties,omitempty"`
}

// Value is a single value.
type Value struct {
	Type        string   `json:"type"` // string, integer, number or boolean; of a Parameter also array or object
	Description string   `json:"description,omitempty"`
	Nullable    bool     `json:"nullable,omitempty"` // null is a value too
	Enum        []string `json:"enum,omitempty"`     // of a string
	Pattern     string   `json:"pattern,omitempty"`  // of a string (RE2)
	MinLength   *int64   `json:"minLength,omitempty"`
	MaxLength   *int64   `json:"maxLength,omitempty"` // 1024 where left out
	Minimum     *int64   `json:"minimum,omitempty"`
	Maximum     *int64   `json:"maximum,omitempty"`
}

// Read makes the definition of an ActionTemplate's name and its spec as JSON. Unknown, duplicate and case-variant fields are errors.
func Read(name string, spec []byte) (Definition, error) {
	d := Definition{Name: name}
	if len(spec) > maxDefinition {
		return d, errTooLong
	}
	strict, err := kjson.UnmarshalStrict(spec, &d.Spec)
	return d, errors.Join(append(strict, err)...)
}

var errTooLong = fmt.Errorf("it is longer than %d KiB, and would be part of every order", maxDefinition>>10)

// Digest tells definitions apart that say something else: "sha256:" and the hex digest of the definition's JSON.
func (d Definition) Digest() string {
	sum := sha256.Sum256(d.bytes())
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (d Definition) bytes() []byte {
	raw, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("template: %v", err)) // there are only strings and numbers in it
	}
	return raw
}
