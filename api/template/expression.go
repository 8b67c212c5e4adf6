package template

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"
)

// costLimit bounds one evaluation, in CEL cost units; there are at most four times maxFields of them.
const costLimit = 100_000

// The names of the two values that an expression speaks about, and of their types.
const (
	parametersName = "parameters"
	observedName   = "observed"
	parametersType = "writ.Parameters"
	observedType   = "writ.Observed"
)

// base is CEL with what can be computed from values alone.
var base = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(ext.StringsVersion(4)), ext.Sets(), ext.Math(), ext.Lists(ext.ListsVersion(2)))
})

// named is the base's types with those of one definition: an expression that asks for a name which is not there does not compile.
type named struct {
	types.Provider
	fields map[string]map[string]*types.FieldType // by type and name
}

// FindStructType implements types.Provider.
func (n named) FindStructType(name string) (*types.Type, bool) {
	if n.fields[name] != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return n.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (n named) FindStructFieldNames(name string) ([]string, bool) {
	if n.fields[name] == nil {
		return n.Provider.FindStructFieldNames(name)
	}
	var all []string
	for field := range n.fields[name] {
		all = append(all, field)
	}
	return all, true
}

// FindStructFieldType implements types.Provider. It has no accessors: the values are maps, and are read as such.
func (n named) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if n.fields[name] == nil {
		return n.Provider.FindStructFieldType(name, field)
	}
	of, ok := n.fields[name][field]
	return of, ok
}

// sorting gives maps an order: whatever an expression makes of one must be the same wherever it is computed.
type sorting struct{ types.Adapter }

// NativeToValue implements types.Adapter.
func (s sorting) NativeToValue(value any) ref.Val {
	if m, ok := value.(map[string]any); ok {
		return sorted{types.NewStringInterfaceMap(s, m)} // with what is in it
	}
	return inOrder(s.Adapter.NativeToValue(value))
}

func inOrder(value ref.Val) ref.Val {
	if m, ok := value.(traits.Mapper); ok {
		return sorted{m}
	}
	return value
}

// literal is a map that an expression writes down itself.
type literal struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (l literal) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return inOrder(l.InterpretableConstructor.Exec(frame))
}

// Eval implements interpreter.Interpretable.
func (l literal) Eval(values interpreter.Activation) ref.Val {
	return inOrder(l.InterpretableConstructor.Eval(values))
}

func sortLiterals(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	if of, ok := i.(interpreter.InterpretableConstructor); ok && of.Type() == types.MapType {
		return literal{of}, nil
	}
	return i, nil
}

// sorted is a map whose keys come in the order of their text.
type sorted struct{ traits.Mapper }

// Iterator implements traits.Iterable.
func (s sorted) Iterator() traits.Iterator {
	var keys []ref.Val
	for it := s.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, func(a, b ref.Val) int { return strings.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value())) })
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

// environment declares what the expressions of a definition may speak about.
func (d Definition) environment() (*cel.Env, error) {
	env, err := base()
	if err != nil {
		return nil, err
	}
	of := named{env.CELTypeProvider(), map[string]map[string]*types.FieldType{parametersType: {}, observedType: {}}}
	for name, p := range d.Parameters.Properties {
		of.fields[parametersType][name] = &types.FieldType{Type: p.celType()}
	}
	for _, f := range d.Fields {
		of.fields[observedType][f.Name] = &types.FieldType{Type: cel.DynType}
	}
	for _, o := range d.Observe {
		of.fields[observedType][o.Name] = &types.FieldType{Type: cel.DynType}
	}
	return env.Extend(cel.CustomTypeProvider(of), cel.CustomTypeAdapter(sorting{env.CELTypeAdapter()}),
		cel.Variable(parametersName, cel.ObjectType(parametersType)), cel.Variable(observedName, cel.ObjectType(observedType)))
}

// compileExpression returns the program and the type of what it gives. The error is one line with the position, "LINE:COLUMN".
func compileExpression(env *cel.Env, expression string) (cel.Program, *cel.Type, error) {
	if len(expression) > 4096 {
		return nil, nil, errors.New("it is longer than 4096 bytes")
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		var lines []string
		for _, fault := range issues.Errors() {
			lines = append(lines, fmt.Sprintf("%d:%d: %s", fault.Location.Line(), fault.Location.Column()+1,
				strings.Join(strings.Fields(fault.Message), " ")))
		}
		return nil, nil, errors.New(strings.Join(lines, "; "))
	}
	run, err := env.Program(ast, cel.CostLimit(costLimit), cel.CustomDecorator(sortLiterals))
	return run, ast.OutputType(), err
}

// native turns what an expression gives into what JSON can say.
func native(value ref.Val) (any, error) {
	switch v := value.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.String:
		return string(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("%d is too large", v)
		}
		return int64(v), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("%v is no number that JSON can say", v)
		}
		return float64(v), nil
	case traits.Mapper:
		return nativeMap(v)
	case traits.Lister:
		return nativeList(v)
	}
	return nil, fmt.Errorf("a %s is nothing that JSON can say: make a string of it", value.Type().TypeName())
}

func nativeList(v traits.Lister) (any, error) {
	list := []any{}
	for it := v.Iterator(); it.HasNext() == types.True; {
		one, err := native(it.Next())
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func nativeMap(v traits.Mapper) (any, error) {
	object := map[string]any{}
	for it := v.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("a %s is no key of an object", key.Type().TypeName())
		}
		one, err := native(v.Get(key))
		if err != nil {
			return nil, err
		}
		if one != nil { // Kubernetes keeps no null
			object[string(name)] = one
		}
	}
	return object, nil
}

// whole turns JSON numbers without a fraction into integers, so that CEL's "observed.replicas + 1" has a meaning.
func whole(value any) any {
	switch v := value.(type) {
	case float64:
		if v >= -1<<53 && v <= 1<<53 && v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		turned := make(map[string]any, len(v))
		for key, inner := range v {
			turned[key] = whole(inner)
		}
		return turned
	case []any:
		turned := make([]any, len(v))
		for i, inner := range v {
			turned[i] = whole(inner)
		}
		return turned
	}
	return value
}

// typed turns the parameters into what their schema says that they are: a number stays one, also where it has no fraction.
func (p Parameters) typed(values map[string]any) map[string]any {
	turned := make(map[string]any, len(values))
	for name, value := range values {
		one := p.Properties[name]
		of := one.Type
		switch {
		case one.Items != nil:
			of = one.Items.Type
		case one.AdditionalProperties != nil:
			of = one.AdditionalProperties.Type
		}
		if of == "number" {
			turned[name] = value
		} else {
			turned[name] = whole(value)
		}
	}
	return turned
}
