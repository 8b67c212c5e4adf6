package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-dev/writ/api/catalogue"
)

const head = `<!-- Generated from api/catalogue by tools/codegen/generate. Change it there. -->
# Actions

What Writ can order, and nothing else. An action is on one object. Its tier is the floor that its content demands; a policy may
raise it. A target in kube-system, one of Writ's own, one with the label ` + "`writ.dev/protected`" + `, and a node of the control plane
is high at least. Ask for one with ` + "`writ request create`" + `, see one with ` + "`writ action describe`" + `.

Every action checks, when it is carried out, that its target is still the one that it was judged on, and as it was then. The
"rights" are all that its credential has, bound to the target's name wherever Kubernetes can do that.

`

// actions is the page about the catalogue: a table of all, then each.
func actions() []byte {
	var out bytes.Buffer
	out.WriteString(head)
	out.WriteString("| action | does | targets | tier |\n| --- | --- | --- | --- |\n")
	for _, name := range catalogue.Names() {
		a := catalogue.Actions()[name]
		fmt.Fprintf(&out, "| [`%s`](#%s) | %s | %s | %s |\n", name, name, a.Summary, kinds(a), a.Words.Tiers)
	}
	for _, name := range catalogue.Names() {
		one(&out, catalogue.Actions()[name])
	}
	return out.Bytes()
}

func one(out *bytes.Buffer, a *catalogue.Action) {
	fmt.Fprintf(out, "\n## %s\n\n%s.\n\n", a.Name, a.Summary)
	fmt.Fprintf(out, "- Targets: %s\n- Tier: %s\n- Predicted: %s\n- Undone by: %s\n", kinds(a), a.Words.Tiers, a.Words.Prediction, a.Words.Inverse)
	fmt.Fprintf(out, "- Time to execute: %s\n", a.Deadline)
	if a.OnHub {
		out.WriteString("- Rights: none; the hub carries it out itself\n")
	}
	for _, line := range rights(a) {
		fmt.Fprintf(out, "- Rights: %s\n", line)
	}
	if len(a.Schema.Properties) == 0 {
		out.WriteString("\nIt takes no parameters.\n")
		return
	}
	out.WriteString("\n| parameter | | |\n| --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(a.Schema.Properties)) {
		schema := a.Schema.Properties[name]
		need := "optional"
		if slices.Contains(a.Schema.Required, name) {
			need = "required"
		}
		fmt.Fprintf(out, "| `%s` | %s, %s | %s |\n", name, form(schema), need, schema.Description)
	}
}

// form is what a value looks like, in few words.
func form(s *jsonschema.Schema) string {
	switch {
	case len(s.Enum) > 0:
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprintf("`%v`", v))
		}
		return strings.Join(values, " or ")
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("%s %.0f to %.0f", s.Type, *s.Minimum, *s.Maximum)
	case s.Type == "object" && len(s.Properties) > 0:
		return "object of `" + strings.Join(slices.Sorted(maps.Keys(s.Properties)), "`, `") + "`"
	case s.Type == "object":
		return "map"
	case len(s.AnyOf) > 0:
		return "integer or string"
	}
	return s.Type
}

func rights(a *catalogue.Action) []string {
	var lines []string
	for _, kind := range a.Kinds {
		for _, r := range a.Rules(catalogue.Case{Kind: kind, Target: catalogue.Target{Name: "x"}}) {
			line := fmt.Sprintf("`%s` on `%s`", strings.Join(r.Verbs, "`, `"), strings.TrimPrefix(r.APIGroups[0]+"/"+r.Resources[0], "/"))
			if len(r.ResourceNames) == 0 {
				line += ", any of the namespace"
			}
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

func kinds(a *catalogue.Action) string {
	var names []string
	for _, k := range a.Kinds {
		names = append(names, k.Kind)
	}
	return strings.Join(names, ", ")
}
