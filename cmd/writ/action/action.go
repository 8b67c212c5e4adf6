// Package action is the commands "writ action ...": what the catalogue has, offline.
package action

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// New makes the command "action" with its subcommands.
func New() *cobra.Command {
	command := &cobra.Command{Use: "action", Aliases: []string{"actions"}, Short: "See what can be asked for"}
	command.AddCommand(newList(), newDescribe())
	return command
}

// entry is an action as JSON shows it.
type entry struct {
	Name     string             `json:"name"`
	Summary  string             `json:"summary"`
	Kinds    []catalogue.Kind   `json:"kinds"`
	Schema   *jsonschema.Schema `json:"schema"`
	Deadline float64            `json:"deadlineSeconds"`
}

func entryOf(a *catalogue.Action) entry {
	return entry{a.Name, a.Summary, a.Kinds, a.Schema, a.Deadline.Seconds()}
}

func newList() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "list", Short: "Print all actions of the catalogue", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			rows, all := show.Columns("Name", "Targets", "Parameters", "Summary"), []entry{}
			for _, name := range catalogue.Names() {
				a := catalogue.Actions()[name]
				show.Row(rows, name, kinds(a), show.OrDash(strings.Join(parameters(a), ", ")), a.Summary)
				all = append(all, entryOf(a))
			}
			if format == show.JSON {
				return encode(command.OutOrStdout(), all)
			}
			return show.Rows(command.OutOrStdout(), format, rows)
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

func newDescribe() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "describe ACTION", Short: "Tell what an action does and takes", Args: cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(catalogue.Names(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(command *cobra.Command, args []string) error {
			a, ok := catalogue.Actions()[args[0]]
			if !ok {
				return fmt.Errorf("the catalogue has no action %q; it has %s", args[0], strings.Join(catalogue.Names(), ", "))
			}
			if format == show.JSON {
				return encode(command.OutOrStdout(), entryOf(a))
			}
			describe(command.OutOrStdout(), a)
			return nil
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

func describe(out io.Writer, a *catalogue.Action) {
	story := show.NewStory(out)
	defer story.End()
	story.Say("Action", "%s", a.Name)
	story.Say("Does", "%s", a.Summary)
	story.Say("Targets", "%s", kinds(a))
	story.Say("Deadline", "%s to execute", a.Deadline)
	story.Title("Parameters")
	if len(a.Schema.Properties) == 0 {
		story.Line("none")
	}
	for _, name := range parameters(a) {
		schema := a.Schema.Properties[name]
		story.Line(name, schema.Type+bounds(schema), need(a, name), schema.Description)
	}
	story.Title("Ask for it")
	example := fmt.Sprintf("writ request create --cluster NAME --action %s --target %s/NAMESPACE/NAME", a.Name, strings.ToLower(a.Kinds[0].Kind))
	for _, name := range a.Schema.Required {
		example += " --param " + name + "=" + strings.ToUpper(name)
	}
	story.Line(example)
}

func kinds(a *catalogue.Action) string {
	var names []string
	for _, kind := range a.Kinds {
		names = append(names, strings.ToLower(kind.Kind))
	}
	return strings.Join(names, ", ")
}

func parameters(a *catalogue.Action) []string {
	var names []string
	for name := range a.Schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func need(a *catalogue.Action, name string) string {
	if slices.Contains(a.Schema.Required, name) {
		return "required"
	}
	return "optional"
}

func bounds(schema *jsonschema.Schema) string {
	if schema.Minimum == nil || schema.Maximum == nil {
		return ""
	}
	return fmt.Sprintf(" %.0f to %.0f", *schema.Minimum, *schema.Maximum)
}

func encode(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
