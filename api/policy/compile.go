// Package policy judges action requests by what platform engineers wrote: CEL conditions in ActionPolicy objects.
//
// The default is deny: without a policy that matches, nothing is allowed. Every policy that matches must agree; one that
// does not, cannot be compiled, fails to evaluate, or costs too much, denies. A policy may raise the tier, never lower it.
package policy

import (
	"encoding/json"
	"fmt"
	"sort"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// costLimit bounds the evaluation of one expression, in CEL cost units.
const costLimit = 100_000

// Set is a list of compiled policies.
type Set struct{ policies []compiled }

type compiled struct {
	name        string
	digest      string // of name and spec
	match       v1alpha1.PolicyMatch
	minTier     catalogue.Tier
	validations []validation
	broken      error
}

type validation struct {
	expression, message string
	program             cel.Program
}

// environment declares what an expression may speak about.
func environment() (*cel.Env, error) {
	return cel.NewEnv(
		ext.Strings(), ext.Sets(), ext.Math(),
		cel.Variable("action", cel.StringType),
		cel.Variable("cluster", cel.StringType),
		cel.Variable("agentClass", cel.StringType),
		cel.Variable("requester", cel.StringType),
		cel.Variable("target", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("parameters", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("observed", cel.MapType(cel.StringType, cel.DynType)),
	)
}

// Compile compiles policies, in the order of their names. One that does not compile stays in the set and denies whatever
// it matches; Problems names it.
func Compile(list []v1alpha1.ActionPolicy) (*Set, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("policy environment: %w", err)
	}
	list = append([]v1alpha1.ActionPolicy(nil), list...)
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	set := &Set{}
	for _, p := range list {
		set.policies = append(set.policies, compile(env, p))
	}
	return set, nil
}

// Problems lists the policies that do not compile, with position.
func (s *Set) Problems() map[string]error {
	problems := map[string]error{}
	for _, p := range s.policies {
		if p.broken != nil {
			problems[p.name] = p.broken
		}
	}
	return problems
}

func compile(env *cel.Env, p v1alpha1.ActionPolicy) compiled {
	c := compiled{name: p.Name, match: p.Spec.Match, minTier: catalogue.Low}
	raw, err := json.Marshal(map[string]any{"name": p.Name, "spec": p.Spec})
	if err != nil {
		c.broken = err
		return c
	}
	c.digest = bundle.Digest(raw)
	if p.Spec.MinTier != "" {
		c.minTier, c.broken = catalogue.ParseTier(p.Spec.MinTier)
	}
	for i, v := range p.Spec.Validations {
		program, err := compileExpression(env, v.Expression)
		if err != nil {
			c.broken = fmt.Errorf("validations[%d]: %w", i, err)
			return c
		}
		c.validations = append(c.validations, validation{v.Expression, v.Message, program})
	}
	return c
}

func compileExpression(env *cel.Env, expression string) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("%q is a %s, not true or false", expression, ast.OutputType())
	}
	return env.Program(ast, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(100))
}
