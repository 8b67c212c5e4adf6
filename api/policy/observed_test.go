package policy

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

// fill sets about half of the fields of a value, those of pointers, structs, lists and maps too.
func fill(v reflect.Value, r *rand.Rand) {
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes([]byte(`{"a":[1,1.5,"b"]}`))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && r.IntN(2) == 0 {
				fill(v.Field(i), r)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, r)
		fill(value, r)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString([]string{"", "a", "ü"}[r.IntN(3)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.IntN(1000)) - 100)
	}
}

// What expressions see of the facts is what their JSON says.
func TestObservedIsTheFactsAsJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 500 {
		var f catalogue.Facts
		fill(reflect.ValueOf(&f).Elem(), r)
		raw, err := json.Marshal(f)
		require.NoError(t, err)
		var wanted map[string]any
		require.NoError(t, json.Unmarshal(raw, &wanted))
		got, err := observedOf(&f)
		require.NoError(t, err)
		require.Equal(t, whole(wanted), any(got))
	}
}
