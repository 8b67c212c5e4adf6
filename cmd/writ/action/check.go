package action

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/site"
)

// valuesForm prints templates as the values of the spoke's chart that allow them.
const valuesForm = "values"

// checked is what is said of a template as JSON.
type checked struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Digest  string `json:"digest"`
	Problem string `json:"problem,omitempty"`
}

func newCheck() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "check PATH...", Short: "Compile the ActionTemplates of files, without a hub",
		Long: "Reads the ActionTemplate objects of all YAML and JSON files below the paths, compiles them as hub and spokes do, and says of\n" +
			"what does not compile where. Ends with status 1 where there is such. With -o values it prints them as values of the\n" +
			"spoke's chart: what a cluster's admin reads, and adds to allow just these.",
		Example: "  writ action check templates/\n  writ action check -o values templates/site-set-log-level.yaml >> values.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			all, err := site.Read(args)
			if err != nil {
				return err
			}
			if _, err := site.Usable(all); err != nil && format == valuesForm {
				return err
			}
			return said(command, format, all)
		},
	}
	show.Flag(command, &format, show.Table, show.JSON, valuesForm)
	return command
}

func said(command *cobra.Command, format string, all []site.Template) (err error) {
	rows, list, allowed, wrong := show.Columns("Name", "Kind", "Tier", "Digest", "Says"), []checked{}, []template.Definition{}, 0
	for _, t := range all {
		one := checked{Name: t.Definition.Name, File: t.File, Digest: t.Definition.Digest()}
		tier, says := "-", "it compiles"
		if t.Problem != nil {
			wrong++
			one.Problem = refusal.OneLine(t.Problem.Error())
			says = one.Problem
		} else {
			tier = t.Action.Words.Tiers
		}
		show.Row(rows, one.Name, t.Definition.Target.Kind, tier, one.Digest, show.Plain(says))
		list, allowed = append(list, one), append(allowed, t.Definition)
	}
	switch format {
	case show.JSON:
		err = show.Value(command.OutOrStdout(), list)
	case valuesForm:
		err = values(command, allowed)
	default:
		err = show.Rows(command.OutOrStdout(), format, rows)
	}
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%d of %d templates cannot be used", wrong, len(all))
	}
	return err
}

func values(command *cobra.Command, allowed []template.Definition) error {
	raw, err := yaml.Marshal(map[string]any{"actions": map[string]any{"templates": allowed}})
	if err != nil {
		return err
	}
	_, err = command.OutOrStdout().Write(raw)
	return err
}
