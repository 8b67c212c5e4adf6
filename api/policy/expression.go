package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"k8s.io/apiserver/pkg/cel/library"
)

// The bounds of evaluation, in CEL cost units. What is beyond denies.
const (
	costLimit  = 100_000   // of one expression
	costBudget = 1_000_000 // of all expressions of a policy, for one request
)

// program is one compiled expression.
type program struct {
	rule    string // where it stands: "validations[0]"
	text    string
	message string
	run     cel.Program
	saying  cel.Program // the messageExpression; nil where there is none
}

// environment declares what an expression may speak about: CEL with the libraries that the API server gives a
// ValidatingAdmissionPolicy, and the request.
func environment() (*cel.Env, error) {
	return cel.NewEnv(
		cel.DefaultUTCTimeZone(true), cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		ext.Strings(), ext.Sets(), ext.Math(),
		library.Lists(), library.Regex(), library.URLs(), library.Quantity(), library.IP(), library.CIDR(), library.Format(),
		library.SemverLib(),
		cel.Variable("action", cel.StringType),
		cel.Variable("cluster", cel.StringType),
		cel.Variable("clusterLabels", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("agentClass", cel.StringType),
		cel.Variable("requester", cel.StringType),
		cel.Variable("target", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("parameters", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("observed", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("baseline", cel.IntType),
		cel.Variable("now", cel.TimestampType),
	)
}

// compileExpressions compiles the variables in order, each with those before it, and then the validations. A variable is
// declared under its whole name, "variables.NAME", with the type that its expression has.
func (c *compiled) compileExpressions(env *cel.Env) error {
	var faults []error
	c.variables = make(map[string]*program, len(c.spec.Variables))
	for i, v := range c.spec.Variables {
		name := variablePrefix + v.Name
		run, of, err := compileExpression(env, v.Expression)
		if err == nil && c.variables[name] != nil {
			err = fmt.Errorf("%q is there twice", v.Name)
		}
		if err == nil {
			var extended *cel.Env
			if extended, err = env.Extend(cel.Variable(name, of)); err == nil {
				env = extended
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("variables[%d].expression: %w", i, err))
			continue
		}
		c.variables[name] = &program{text: v.Expression, run: run}
	}
	for i, v := range c.spec.Validations {
		run, of, err := compileExpression(env, v.Expression)
		if err == nil && !of.IsExactType(cel.BoolType) {
			err = fmt.Errorf("%q is a %s, not true or false", v.Expression, of)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("validations[%d].expression: %w", i, err))
		}
		p := program{rule: at("validations", i), text: v.Expression, message: v.Message, run: run}
		if v.MessageExpression != "" {
			saying, of, err := compileExpression(env, v.MessageExpression)
			if err == nil && !of.IsExactType(cel.StringType) {
				err = fmt.Errorf("%q is a %s, no text", v.MessageExpression, of)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("validations[%d].messageExpression: %w", i, err))
			}
			p.saying = saying
		}
		c.programs = append(c.programs, p)
	}
	return errors.Join(faults...)
}

// compileExpression returns the program and the type of what it gives. The error is one line with the position, "LINE:COLUMN".
func compileExpression(env *cel.Env, expression string) (cel.Program, *cel.Type, error) {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		var lines []string
		for _, fault := range issues.Errors() {
			lines = append(lines, fmt.Sprintf("%d:%d: %s", fault.Location.Line(), fault.Location.Column()+1,
				strings.Join(strings.Fields(fault.Message), " ")))
		}
		return nil, nil, errors.New(strings.Join(lines, "; "))
	}
	run, err := env.Program(ast, cel.CostLimit(costLimit), cel.CostTracking(&library.CostEstimator{}))
	return run, ast.OutputType(), err
}
