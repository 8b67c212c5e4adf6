package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// found is a problem and the file that it is in.
type found struct {
	File string `json:"file"`
	policy.Problem
}

func newLint() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "lint PATH...", Short: "Look for what cannot have been meant in policies from files, without a hub",
		Long: "Reads the ActionPolicy objects of all YAML and JSON files below the paths and looks for what the API server would\n" +
			"refuse, for expressions that do not compile, for rules that nothing reaches, and for windows that never open. Ends\n" +
			"with status 1 where there is an error; a warning may have been meant.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			f, err := read(args)
			if err != nil {
				return err
			}
			set, err := policy.Compile(f.policies)
			if err != nil {
				return err
			}
			all, wrong := append([]found{}, f.refused...), 0
			for _, p := range set.Lint(time.Now()) {
				if !slices.ContainsFunc(f.refused, func(r found) bool { return r.Policy == p.Policy }) { // it never comes that far
					all = append(all, found{f.where[p.Policy], p})
				}
			}
			rows := show.Columns("Severity", "Policy", "Field", "Says")
			for _, p := range all {
				show.Row(rows, p.Severity, p.Policy, p.Field, p.Says)
				if p.Severity == policy.Error {
					wrong++
				}
			}
			switch {
			case format == show.JSON:
				err = show.Value(command.OutOrStdout(), all)
			case len(all) == 0:
				_, err = fmt.Fprintf(command.OutOrStdout(), "%d policies, nothing to say\n", set.Len())
			default:
				err = show.Rows(command.OutOrStdout(), format, rows)
			}
			if wrong > 0 {
				return errors.Join(err, fmt.Errorf("%d errors in %d policies", wrong, set.Len()))
			}
			return err
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}
