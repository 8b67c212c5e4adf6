package policy

import (
	"encoding/json"
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// variablePrefix begins the names under which a policy's variables are declared.
const variablePrefix = "variables."

// values is what all policies that a question reaches speak about. Each is made where the first expression asks for it.
type values struct {
	q                                    *Question
	parameters, observed, target, labels any // a ref.Val, the fault included
}

// once makes a value where it is not made yet. A fault is a value too: it fails the expressions that ask for it, and denies.
func once(value *any, of func() (any, error)) any {
	if *value == nil {
		native, err := of()
		if err != nil {
			*value = types.NewErr("%v", err)
		} else {
			*value = types.DefaultTypeAdapter.NativeToValue(native)
		}
	}
	return *value
}

func (v *values) makeParameters() (any, error) {
	parameters := map[string]any{}
	if len(v.q.Parameters) > 0 {
		if err := json.Unmarshal(v.q.Parameters, &parameters); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
	}
	return whole(parameters), nil
}

func (v *values) makeTarget() (any, error) {
	return map[string]string{"apiVersion": v.q.Target.APIVersion, "kind": v.q.Target.Kind,
		"namespace": v.q.Target.Namespace, "name": v.q.Target.Name}, nil
}

func (v *values) makeLabels() (any, error) {
	if v.q.ClusterLabels == nil {
		return map[string]string{}, nil
	}
	return v.q.ClusterLabels, nil
}

// whole turns JSON numbers without a fraction into integers, so that CEL's "parameters.replicas <= 5" has a meaning.
func whole(value any) any {
	switch v := value.(type) {
	case float64:
		if v >= -1<<53 && v <= 1<<53 && v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for key, inner := range v {
			v[key] = whole(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = whole(inner)
		}
	}
	return value
}

// activation gives the expressions of one policy their names. Variables are computed where one asks for them, once.
type activation struct {
	of     *compiled
	values *values
	known  map[string]any
	spent  uint64 // CEL cost units, of all expressions so far
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	v := a.values
	switch name {
	case "action":
		return v.q.Action, true
	case "cluster":
		return v.q.Cluster, true
	case "agentClass":
		return v.q.AgentClass, true
	case "requester":
		return v.q.Requester, true
	case "clusterLabels":
		return once(&v.labels, v.makeLabels), true
	case "target":
		return once(&v.target, v.makeTarget), true
	case "parameters":
		return once(&v.parameters, v.makeParameters), true
	case "observed":
		return once(&v.observed, func() (any, error) { return observedOf(&v.q.Observed) }), true
	case "baseline":
		return v.q.Baseline, true
	case "now":
		return types.Timestamp{Time: v.q.Now.UTC()}, true
	}
	return a.variable(name)
}

func (a *activation) variable(name string) (any, bool) {
	if value, ok := a.known[name]; ok {
		return value, true
	}
	p := a.of.variables[name]
	if p == nil {
		return nil, false
	}
	value, err := a.eval(p.run)
	var result any = value
	if err != nil {
		result = types.NewErr("%s: %v", name, err)
	}
	if a.known == nil {
		a.known = map[string]any{}
	}
	a.known[name] = result
	return result, true
}

// eval runs a program within what is left of the policy's budget.
func (a *activation) eval(run cel.Program) (ref.Val, error) {
	value, details, err := run.Eval(cel.Activation(a))
	if details != nil {
		if cost := details.ActualCost(); cost != nil {
			a.spent += *cost
		}
	}
	if err != nil {
		return nil, err
	}
	if a.spent > costBudget {
		return nil, fmt.Errorf("the policy's expressions cost more than %d together", costBudget)
	}
	return value, nil
}
