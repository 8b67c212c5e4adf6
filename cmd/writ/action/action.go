// Package action is the commands "writ action ...": what the catalogue has, offline, and what a site has of its own, from files or from
// its hub.
package action

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/site"
)

// New makes the command "action" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "action", Aliases: []string{"actions"}, Short: "See what can be asked for"}
	command.AddCommand(newList(hub), newDescribe(hub), newCheck())
	return command
}

// entry is an action as JSON shows it.
type entry struct {
	Name     string             `json:"name"`
	Summary  string             `json:"summary"`
	Kinds    []catalogue.Kind   `json:"kinds"`
	Schema   *jsonschema.Schema `json:"schema"`
	Deadline float64            `json:"deadlineSeconds"`
	catalogue.Words
	// OnHub: the hub carries it out itself, and in no cluster.
	OnHub bool `json:"onHub,omitempty"`
	// Rules are those of a credential for a target called TARGET, of each kind.
	Rules []rbacv1.PolicyRule `json:"rules"`
	// Template is the digest of what it is made of, where it is an action of the site's own.
	Template string `json:"template,omitempty"`
}

func entryOf(a *catalogue.Action, own []site.Template) entry {
	e := entry{Name: a.Name, Summary: a.Summary, Kinds: a.Kinds, Schema: a.Schema, Deadline: a.Deadline.Seconds(), Words: a.Words, OnHub: a.OnHub, Template: digestOf(a, own), Rules: []rbacv1.PolicyRule{}}
	for _, kind := range a.Kinds {
		for _, rule := range a.Rules(catalogue.Case{Kind: kind, Target: catalogue.Target{Name: "TARGET"}}) {
			if !slices.ContainsFunc(e.Rules, func(r rbacv1.PolicyRule) bool { return catalogue.Equal(r, rule) }) {
				e.Rules = append(e.Rules, rule)
			}
		}
	}
	return e
}

func newList(hub *access.Hub) *cobra.Command {
	var format string
	var paths []string
	var asks bool
	command := &cobra.Command{
		Use: "list", Short: "Print all actions of the catalogue, and of the site's own", Args: cobra.NoArgs,
		Long: "Prints the actions of the catalogue, which needs no hub; with -f also those of the ActionTemplates in files and folders, and\n" +
			"with --site also those of the hub.",
		Example: "  writ action list --site\n  writ action list -f examples/templates -o json",
		RunE: func(command *cobra.Command, _ []string) error {
			own, err := templates(command, hub, paths, asks)
			if err != nil {
				return err
			}
			rows, all, tools := show.Columns("Name", "Tier", "Parameters", "Summary"), []entry{}, []tool{}
			actions := []*catalogue.Action{}
			for _, name := range catalogue.Names() {
				actions = append(actions, catalogue.Actions()[name])
			}
			usable, err := site.Usable(own)
			if err != nil {
				fmt.Fprintln(command.ErrOrStderr(), "these cannot be asked for: "+show.Plain(refusal.OneLine(err.Error())))
			}
			for _, a := range append(actions, usable...) {
				show.Row(rows, a.Name, strings.ReplaceAll(a.Words.Tiers, "`", ""), show.OrDash(strings.Join(parameters(a), ", ")), a.Summary)
				all, tools = append(all, entryOf(a, own)), append(tools, toolOf(a))
			}
			switch format {
			case show.JSON:
				return show.Value(command.OutOrStdout(), all)
			case mcpForm:
				return show.Value(command.OutOrStdout(), tools)
			}
			return show.Rows(command.OutOrStdout(), format, rows)
		},
	}
	show.Flag(command, &format, show.Table, show.JSON, mcpForm)
	command.Flags().StringArrayVarP(&paths, "file", "f", nil, "file or folder with ActionTemplates; may be repeated")
	command.Flags().BoolVar(&asks, "site", false, "ask the hub for its ActionTemplates")
	return command
}

// templates are those of the files named, and of the hub where it is asked.
func templates(command *cobra.Command, hub *access.Hub, paths []string, asks bool) (all []site.Template, err error) {
	if len(paths) > 0 {
		if all, err = site.Read(paths); err != nil {
			return nil, err
		}
	}
	if !asks {
		return all, nil
	}
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	declared, err := site.Declared(command.Context(), c)
	return append(all, declared...), err
}

func newDescribe(hub *access.Hub) *cobra.Command {
	var format string
	var paths []string
	command := &cobra.Command{
		Use: "describe ACTION", Short: "Tell what an action does and takes", Args: cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(catalogue.Names(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(command *cobra.Command, args []string) error {
			own, err := templates(command, hub, paths, len(paths) == 0 && strings.HasPrefix(args[0], catalogue.SitePrefix))
			if err != nil {
				return err
			}
			a, err := site.Among(own)(args[0])
			if err != nil {
				return err
			}
			switch format {
			case show.JSON:
				return show.Value(command.OutOrStdout(), entryOf(a, own))
			case mcpForm:
				return show.Value(command.OutOrStdout(), toolOf(a))
			}
			describe(command.OutOrStdout(), a, own)
			return nil
		},
	}
	show.Flag(command, &format, show.Table, show.JSON, mcpForm)
	command.Flags().StringArrayVarP(&paths, "file", "f", nil, "file or folder with ActionTemplates, instead of the hub's; may be repeated")
	return command
}

func describe(out io.Writer, a *catalogue.Action, own []site.Template) {
	story := show.NewStory(out)
	defer story.End()
	story.Say("Action", "%s", a.Name)
	story.Say("Does", "%s", a.Summary)
	story.Say("Targets", "%s", kinds(a))
	story.Say("Tier", "%s", strings.ReplaceAll(a.Words.Tiers, "`", ""))
	story.Say("Predicts", "%s", strings.ReplaceAll(a.Words.Prediction, "`", ""))
	story.Say("Undone by", "%s", strings.ReplaceAll(a.Words.Inverse, "`", ""))
	story.Say("Deadline", "%s to execute", a.Deadline)
	story.Say("Template", "%s", digestOf(a, own))
	story.Title("Parameters")
	if len(a.Schema.Properties) == 0 {
		story.Line("none")
	}
	for _, name := range parameters(a) {
		schema := a.Schema.Properties[name]
		story.Line(name, schema.Type+bounds(schema), need(a, name), schema.Description)
	}
	story.Title("Ask for it")
	example := fmt.Sprintf("writ request create --cluster NAME --action %s --target %s", a.Name, targetForm(a))
	for _, name := range a.Schema.Required {
		example += " --param " + name + "=" + strings.ToUpper(name)
	}
	story.Line(example)
}

// digestOf is of the template that an action is made of; empty where it is of the catalogue.
func digestOf(a *catalogue.Action, own []site.Template) string {
	for _, t := range own {
		if t.Action == a {
			return t.Definition.Digest()
		}
	}
	return ""
}

// targetForm is how a target of the action is written.
func targetForm(a *catalogue.Action) string {
	if a.ClusterScoped() {
		return strings.ToLower(a.Kinds[0].Kind) + "/NAME"
	}
	return strings.ToLower(a.Kinds[0].Kind) + "/NAMESPACE/NAME"
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
