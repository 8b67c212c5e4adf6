package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/e2e/drill"
	"github.com/writ-dev/writ/e2e/fleet"
)

// rotateAll is the one drill.
const rotateAll = "rotate-all"

// drillWithin bounds a drill.
const drillWithin = 10 * time.Minute

// NewDrill makes the command "drill" with its subcommand.
func NewDrill() *cobra.Command {
	command := &cobra.Command{Use: "drill", Short: "Practise, on a fleet made for the occasion, what must go well one day"}
	f := flags{yes: true, once: true, drill: rotateAll, drillAlone: true}
	all := &cobra.Command{
		Use: rotateAll, Short: "Replace every key of a fleet while actions flow, and count what was lost",
		Long: "Starts a hub, two clusters and Vault on this machine, asks both clusters for one action after the other, and meanwhile replaces the CA\n" +
			"with every SVID, the gateway's key, an approver's key, and in Vault what it trusts, its account in each cluster, its roles and\n" +
			"policies. It asks no faster than Vault issues in the long run, 1.25 credentials a second in a cluster. The exit status says whether\n" +
			"every action came through. What the first start compiles takes minutes; it needs a source checkout and Go. Everything ends with\n" +
			"the command.",
		Example: "  writ drill rotate-all\n  writ drill rotate-all --credentials tokenrequest",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return run(c, f)
		},
	}
	f.world(all)
	command.AddCommand(all)
	return command
}

// practise rotates all keys, and says what became of the actions.
func practise(ctx context.Context, s *screen, world *fleet.Fleet) error {
	s.chapter("Every key is replaced while actions flow")
	ctx, cancel := context.WithTimeout(ctx, drillWithin)
	defer cancel()
	report, err := drill.RotateAll(ctx, world, s.done)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	report.Print(s.out)
	if n := len(report.Lost); n > 0 {
		return fmt.Errorf("the drill lost %d of %d actions", n, report.Actions)
	}
	return nil
}
