// Package hubtest makes objects of every kind that the hub's CRDs declare, out of their schemas alone: a kind that is new, and a
// field that is new, are covered by themselves.
package hubtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// The steps of a place that are no field's name.
const (
	item   = "[]" // the first of a list
	anyKey = "{}" // the one key of a map, which is "x"
)

// Kind is one kind, in the version that is stored.
type Kind struct {
	schema.GroupVersionKind
	Namespaced bool
	schema     *apiextensionsv1.JSONSchemaProps
}

// Place is where a field is: names, and steps into lists and maps.
type Place []string

func (p Place) String() string { return strings.Join(p, ".") }

// Submit gives an object to an API server; the error is the API server's.
type Submit func(*unstructured.Unstructured) error

// Kinds reads the kinds of CRDs, multi-document YAML.
func Kinds(crds []byte) ([]Kind, error) {
	var kinds []Kind
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(crds)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return kinds, nil
		}
		if err != nil {
			return nil, err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(document, &crd); err != nil {
			return nil, err
		}
		for _, version := range crd.Spec.Versions {
			if version.Storage {
				kinds = append(kinds, Kind{schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind},
					crd.Spec.Scope == apiextensionsv1.NamespaceScoped, version.Schema.OpenAPIV3Schema})
			}
		}
	}
}

// Places are all fields below one at the top, such as "spec".
func (k Kind) Places(top string) []Place {
	below, ok := k.schema.Properties[top]
	if !ok {
		return nil
	}
	return places(&below, Place{top})
}

func places(s *apiextensionsv1.JSONSchemaProps, here Place) (all []Place) {
	add := func(step string, inner *apiextensionsv1.JSONSchemaProps) {
		place := append(slices.Clone(here), step)
		all = append(append(all, place), places(inner, place)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		inner := s.Properties[name]
		add(name, &inner)
	}
	if s.Items != nil {
		add(item, s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		add(anyKey, s.AdditionalProperties.Schema)
	}
	return all
}

// IsTime reports whether a time is at a place.
func (k Kind) IsTime(place Place) bool { return k.at(place).Format == "date-time" }

// at is the schema of a place.
func (k Kind) at(place Place) *apiextensionsv1.JSONSchemaProps {
	s := k.schema
	for _, step := range place {
		switch step {
		case item:
			s = s.Items.Schema
		case anyKey:
			s = s.AdditionalProperties.Schema
		default:
			inner := s.Properties[step]
			s = &inner
		}
	}
	return s
}

// Smallest is an object with what is required alone. Rules between fields may refuse it.
func (k Kind) Smallest(name string) (*unstructured.Unstructured, error) {
	value, err := valid("", k.schema)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Kind, err)
	}
	object := &unstructured.Unstructured{Object: value.(map[string]any)}
	object.SetGroupVersionKind(k.GroupVersionKind)
	object.SetName(name)
	if k.Namespaced {
		object.SetNamespace("default")
	}
	return object, nil
}

// words are tried where a string has a pattern.
var words = []string{"scale", "Deployment", "shop", "apps/v1", "v1", "1h", "0 6 * * 1-5", "2026-11-23T12:00:00Z", strings.Repeat("0", 64),
	"sha256:" + strings.Repeat("0", 64), "00-" + strings.Repeat("1", 32) + "-" + strings.Repeat("1", 16) + "-01", "https://example.org", "/spec/x"}

// expressions are what is said in CEL: no schema tells that a string is an expression.
var expressions = map[string]string{"expression": "true", "messageExpression": `"no"`}

// valid is a value that a schema takes, as small as may be, for a field of a name.
func valid(name string, s *apiextensionsv1.JSONSchemaProps) (any, error) {
	if expression, ok := expressions[name]; ok {
		return expression, nil
	}
	for _, given := range append([]*apiextensionsv1.JSON{s.Default}, firstOf(s.Enum)...) {
		if given != nil {
			var value any
			err := json.Unmarshal(given.Raw, &value)
			return whole(value), err
		}
	}
	switch s.Type {
	case "object":
		return validObject(s)
	case "array":
		list := []any{}
		for range max(0, int(orElse(s.MinItems, 0))) {
			inner, err := valid("", s.Items.Schema)
			if err != nil {
				return nil, err
			}
			list = append(list, inner)
		}
		return list, nil
	case "string":
		return validString(s)
	case "integer", "number":
		return int64(math.Min(math.Max(1, orElse(s.Minimum, 1)), orElse(s.Maximum, 1))), nil
	case "boolean":
		return true, nil
	}
	return int64(1), nil // whatever it is
}

func validObject(s *apiextensionsv1.JSONSchemaProps) (any, error) {
	object := map[string]any{}
	for _, name := range s.Required {
		property := s.Properties[name]
		inner, err := valid(name, &property)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		object[name] = inner
	}
	if orElse(s.MinProperties, 0) > 0 && s.AdditionalProperties != nil {
		inner, err := valid("", s.AdditionalProperties.Schema)
		object["x"] = inner
		return object, err
	}
	return object, nil
}

func validString(s *apiextensionsv1.JSONSchemaProps) (any, error) {
	if s.Format == "date-time" {
		return "2026-11-23T12:00:00Z", nil
	}
	pattern, err := regexp.Compile(s.Pattern)
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		if pattern.MatchString(word) && int64(len(word)) >= orElse(s.MinLength, 0) && int64(len(word)) <= orElse(s.MaxLength, math.MaxInt64) {
			return word, nil
		}
	}
	return nil, fmt.Errorf("none of the words of this package matches %s: add one that does", s.Pattern)
}

// Hostile is what is put in the place of every field.
func Hostile() []any {
	return []any{nil, "", " ", "x", "*", "**", "-", "a*b", "\x00", "\u202e", "true", "1", "-1", "Local", "UTC\n", "../../etc/passwd",
		"@every 1s", "TZ=0", "CRON_TZ=UTC * * * * *", "* * * * *", "0 0 30 2 *", "*/0 * * * *", "99 * * * *", "1-0 * * * *", "9223372036854775807h",
		"1h", "0s", "1ns", "999999h", "2026-13-40T99:99:99Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59",
		"1 / 0 == 1", "parameters.", "[1,2,3].map(x, x)", "true ? 1 : 'a'", strings.Repeat("(", 400), strings.Repeat("a", 5000), strings.Repeat("!", 300) + "true",
		int64(0), int64(-1), int64(1), int64(101), int64(math.MaxInt32), int64(math.MaxInt64), 1.5, true, false,
		[]any{}, []any{"*"}, []any{""}, []any{nil}, []any{int64(1)}, []any{map[string]any{}}, map[string]any{}, map[string]any{"x": "y"}}
}

// Put is a copy of an object with a value at a place. What is above it is made where it is missing.
func (k Kind) Put(object *unstructured.Unstructured, place Place, value any) (*unstructured.Unstructured, error) {
	object = object.DeepCopy()
	into, err := k.put(object.Object, k.schema, place, value)
	object.Object = into.(map[string]any)
	return object, err
}

func (k Kind) put(into any, s *apiextensionsv1.JSONSchemaProps, place Place, value any) (any, error) {
	if len(place) == 0 {
		return value, nil
	}
	if into == nil {
		made, err := valid("", s)
		if err != nil {
			return nil, err
		}
		into = made
	}
	step, rest := place[0], place[1:]
	if step == item {
		list := into.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		inner, err := k.put(list[0], s.Items.Schema, rest, value)
		list[0] = inner
		return list, err
	}
	object := into.(map[string]any)
	name, below := step, s.AdditionalProperties
	var inner *apiextensionsv1.JSONSchemaProps
	if step == anyKey {
		name, inner = "x", below.Schema
	} else {
		property := s.Properties[step]
		inner = &property
	}
	made, err := k.put(object[name], inner, rest, value)
	object[name] = made
	return object, err
}

// Filled is an object that passes, with a value of its own at the place. Where rules between fields refuse it, other fields are set
// or left out, as long as the API server names fewer faults each time. The error is the last one.
func (k Kind) Filled(name string, place Place, submit Submit) (*unstructured.Unstructured, error) {
	object, err := k.Smallest(name)
	if err != nil {
		return nil, err
	}
	if place != nil {
		value, err := valid(place[len(place)-1], k.at(place))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if object, err = k.Put(object, place, value); err != nil {
			return nil, err
		}
	}
	refused := submit(object)
	for faults(refused) > 0 {
		better, why, err := k.mend(object, place, refused, submit)
		if err != nil {
			return nil, err
		}
		if better == nil {
			return object, refused
		}
		object, refused = better, why
	}
	return object, nil
}

// mend sets one more field, or leaves one out, or does so with two beside each other, so that the API server finds fewer faults; nil
// where nothing helps.
func (k Kind) mend(object *unstructured.Unstructured, keep Place, refused error, submit Submit) (*unstructured.Unstructured, error, error) {
	var others []Place
	for _, place := range k.Places("spec") {
		if keep == nil || !strings.HasPrefix(keep.String()+".", place.String()+".") {
			others = append(others, place)
		}
	}
	try := func(places ...Place) (changed *unstructured.Unstructured, why, err error) {
		changed = object
		for _, place := range places {
			if changed, err = k.toggled(changed, place); changed == nil || err != nil {
				return nil, nil, err
			}
		}
		if why = submit(changed); faults(why) < faults(refused) {
			return changed, why, nil
		}
		return nil, nil, nil
	}
	for _, place := range others {
		if better, why, err := try(place); better != nil || err != nil {
			return better, why, err
		}
	}
	for i, place := range others {
		for _, beside := range others[i+1:] {
			if !slices.Equal(place[:len(place)-1], beside[:len(beside)-1]) {
				continue
			}
			if better, why, err := try(place, beside); better != nil || err != nil {
				return better, why, err
			}
		}
	}
	return nil, nil, nil
}

// toggled is a copy of an object without a field that it has and need not have, or with one that it has not; nil where that says
// nothing.
func (k Kind) toggled(object *unstructured.Unstructured, place Place) (*unstructured.Unstructured, error) {
	name := place[len(place)-1]
	if changed := without(object, place); changed != nil {
		if slices.Contains(k.at(place[:len(place)-1]).Required, name) {
			return nil, nil
		}
		return changed, nil
	}
	value, err := valid(name, k.at(place))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	if list, ok := value.([]any); ok && len(list) == 0 {
		return nil, nil
	}
	return k.Put(object, place, value)
}

// without is a copy of an object without a field; nil where it is not set.
func without(object *unstructured.Unstructured, place Place) *unstructured.Unstructured {
	object = object.DeepCopy()
	var here any = object.Object
	for i, step := range place {
		last := i == len(place)-1
		switch at := here.(type) {
		case map[string]any:
			if step == anyKey {
				step = "x"
			}
			inner, ok := at[step]
			if !ok {
				return nil
			}
			if last {
				delete(at, step)
				return object
			}
			here = inner
		case []any:
			if len(at) == 0 || last {
				return nil
			}
			here = at[0]
		default:
			return nil
		}
	}
	return nil
}

// faults weighs what an API server found: what its schemas refuse more than what admission policies do, which speak last.
func faults(err error) int {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return 0
	case strings.Contains(err.Error(), "ValidatingAdmissionPolicy"):
		return 1
	case errors.As(err, &status) && status.Status().Details != nil && len(status.Status().Details.Causes) > 0:
		return 1 + len(status.Status().Details.Causes)
	}
	return math.MaxInt
}

// whole is a JSON number as unstructured objects have it.
func whole(value any) any {
	if number, ok := value.(float64); ok && number == math.Trunc(number) {
		return int64(number)
	}
	return value
}

func firstOf(list []apiextensionsv1.JSON) []*apiextensionsv1.JSON {
	if len(list) == 0 {
		return nil
	}
	return []*apiextensionsv1.JSON{&list[0]}
}

func orElse[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}
