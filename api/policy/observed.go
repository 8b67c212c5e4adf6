package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/writ-dev/writ/api/catalogue"
)

// fact is one field of the facts, as its JSON has it.
type fact struct {
	name      string
	at        int
	omitEmpty bool
}

// facts are the fields of catalogue.Facts.
var facts = factsOf(reflect.TypeFor[catalogue.Facts]())

func factsOf(of reflect.Type) []fact {
	var all []fact
	for i := range of.NumField() {
		name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			all = append(all, fact{name, i, strings.Contains(options, "omitempty")})
		}
	}
	return all
}

// observedOf is what the facts' JSON would decode to, with whole numbers as integers. It is made for every request: plain fields
// are copied, only others take the way through JSON.
func observedOf(f *catalogue.Facts) (map[string]any, error) {
	observed, from := make(map[string]any, len(facts)), reflect.ValueOf(f).Elem()
	for _, field := range facts {
		value := from.Field(field.at)
		if field.omitEmpty && value.IsZero() {
			continue
		}
		if value.Kind() == reflect.Pointer && !value.IsNil() {
			value = value.Elem()
		}
		switch value.Kind() {
		case reflect.Int, reflect.Int32, reflect.Int64:
			observed[field.name] = value.Int()
		case reflect.String:
			observed[field.name] = value.String()
		case reflect.Bool:
			observed[field.name] = value.Bool()
		default:
			inner, err := throughJSON(value.Interface())
			if err != nil {
				return nil, fmt.Errorf("observed.%s: %w", field.name, err)
			}
			observed[field.name] = inner
		}
	}
	return observed, nil
}

func throughJSON(value any) (any, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var decoded any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil, err
	}
	return whole(decoded), nil
}
