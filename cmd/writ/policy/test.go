package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/site"
)

func newTest() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "test PATH...", Short: "Judge a table of requests by policies from files, without a hub",
		Long: "Reads the ActionPolicy and PolicyTest objects of all YAML and JSON files below the paths, judges the requests of each\n" +
			"PolicyTest by all the policies, and ends with status 1 where one verdict is not as expected. How often and how many\n" +
			"at once (limits, maxClustersPercent) is counted by a running hub, and not here.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			results, err := judge(args, time.Now())
			if err != nil {
				return err
			}
			if format == show.JSON {
				err = show.Value(command.OutOrStdout(), results)
			} else {
				rows := show.Columns("Result", "Case", "Verdict", "Why")
				for _, r := range results {
					show.Row(rows, r.word(), r.Name, r.verdict(), r.why())
				}
				err = show.Rows(command.OutOrStdout(), format, rows)
			}
			return errors.Join(err, failure(results))
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

// judge judges every case of every table.
func judge(paths []string, now time.Time) ([]result, error) {
	f, err := read(paths)
	if err != nil {
		return nil, err
	}
	for _, no := range f.refused {
		return nil, fmt.Errorf("%s: policy %s: %s: %s", no.File, no.Policy, no.Field, no.Says)
	}
	set, err := policy.Compile(f.policies)
	if err != nil {
		return nil, err
	}
	if len(f.tables) == 0 {
		return nil, fmt.Errorf("no PolicyTest in %s: nothing was tried", strings.Join(paths, ", "))
	}
	results := []result{}
	for i := range f.tables {
		cases, err := f.tables[i].cases()
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			verdict, no, err := c.judge(set, site.Among(f.sites), now)
			if err != nil {
				return nil, fmt.Errorf("%s: case %q: %w", f.tables[i].file, c.Name, err)
			}
			faults := c.Expect.faults(verdict, no)
			results = append(results, result{f.tables[i].file, f.tables[i].Name, c.Name, len(faults) == 0, faults, verdict, no})
		}
	}
	return results, nil
}

func failure(results []result) error {
	failed := 0
	for _, r := range results {
		if !r.Passed {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(results))
	}
	return nil
}

func (r result) word() string {
	if r.Passed {
		return "ok"
	}
	return "FAILED"
}

func (r result) verdict() string {
	if r.Refusal != nil {
		return "deny"
	}
	return "allow, " + string(r.Verdict.Tier)
}

func (r result) why() string {
	switch {
	case !r.Passed:
		return strings.Join(r.Faults, "; ")
	case r.Refusal != nil:
		return r.Refusal.Detail
	}
	return r.Verdict.Why
}
