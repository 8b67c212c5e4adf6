// Package ca is the commands "writ ca ...": they replace the authority that signs the identities of hub and spokes, while the fleet
// works.
//
// They work on the machine that the hub's data directory is on, and from elsewhere for an operator; writ-hub has the same commands for a pod.
package ca

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/keys"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/identity"
)

// ask is how often the hub is asked how far it is.
const ask = 200 * time.Millisecond

// New makes the command "ca" with its subcommands.
func New() *cobra.Command {
	command := &cobra.Command{Use: "ca", Short: "Replace the authority that signs identities"}
	command.AddCommand(newRotate(), newStatus())
	return command
}

func newRotate() *cobra.Command {
	var way keys.Way
	var hold, force bool
	var wait time.Duration
	command := &cobra.Command{
		Use: "rotate", Short: "Replace the authority that signs identities, while the fleet works",
		Long: "Replace the authority (CA) that signs the identities of hub and spokes. The hub makes the next one and publishes it; once every\n" +
			"enrolled spoke has said that it trusts it, it signs; once every spoke has an SVID by it, the old one is dropped.\n\n" +
			"Spokes that are away are waited for, 7 days at each step. --leave-behind waits for nobody any more: whoever has not followed\n" +
			"has to enrol again. --hold publishes the next authority and stops there, so that others who trust it, such as Vault, can be\n" +
			"told; ask again without it then. The hub goes on by itself when this command ends.\n" +
			"Of the chart: kubectl -n writ-system exec writ-hub-0 -- /writ-hub ca -rotate --config /etc/writ/config/hub.yaml",
		Example: "  writ ca rotate --data-dir /var/lib/writ-hub\n" +
			"  writ operator login && writ ca rotate --hub hub.example.org:7444",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if hold && force {
				return usage.Errorf("--hold and --leave-behind do not go together")
			}
			hub, err := way.Open()
			if err != nil {
				return err
			}
			defer hub.Close()
			status, err := hub.RotateCA(command.Context(), hold, force)
			if err != nil {
				return err
			}
			return follow(command, hub, &way, status, wait)
		},
	}
	way.Flags(command)
	command.Flags().BoolVar(&hold, "hold", false, "publish the next authority, and stop there")
	command.Flags().BoolVar(&force, "leave-behind", false, "wait for nobody any more")
	command.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to watch")
	return command
}

// follow says how far the rotation is until it has ended, is held, or the time is up.
func follow(command *cobra.Command, hub keys.Hub, way *keys.Way, status rotation.CAStatus, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(command.Context(), wait)
	defer cancel()
	said := ""
	for {
		if line := describe(status); line != said {
			fmt.Fprintln(command.OutOrStdout(), line)
			said = line
		}
		if status.Stage == identity.Idle {
			if way.Remote() {
				fmt.Fprintln(command.OutOrStdout(), "next: writ operator login: your SVID is by the authority that was dropped")
			}
			return nil
		}
		if status.Held && len(status.Waits) == 0 && !status.Telling {
			fmt.Fprintln(command.OutOrStdout(), "next: tell whoever else trusts it, such as Vault; then writ ca rotate")
			return nil
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(command.OutOrStdout(), "the hub goes on by itself; see writ ca status")
			return nil
		case <-time.After(ask):
		}
		if next, err := hub.CAStatus(ctx); err == nil {
			status = next
		}
	}
}

// describe is the stage in words.
func describe(s rotation.CAStatus) string {
	waits := ""
	if len(s.Waits) > 0 {
		waits = fmt.Sprintf("; waits for %s, until %s", strings.Join(s.Waits, ", "), s.Until.Format(time.RFC3339))
	} else if s.Held && s.Telling {
		waits = "; not advertised yet"
	}
	switch {
	case s.Stage == identity.Idle:
		return "one authority, good until " + s.Expires.Format(time.DateOnly)
	case s.Stage == identity.Published && s.Held:
		return "published: the next authority is trusted, and held back from signing" + waits
	case s.Stage == identity.Published:
		return "published: the next authority is trusted, and does not sign yet" + waits
	}
	return "signing: the next authority signs, and the old one is still trusted" + waits
}

func newStatus() *cobra.Command {
	var way keys.Way
	var format string
	command := &cobra.Command{
		Use: "status", Short: "See how far the rotation of the authority is, and for whom it waits",
		Example: "  writ ca status --data-dir /var/lib/writ-hub",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			hub, err := way.Open()
			if err != nil {
				return err
			}
			defer hub.Close()
			status, err := hub.CAStatus(command.Context())
			if err != nil {
				return err
			}
			return printStatus(command.OutOrStdout(), status, format)
		},
	}
	way.Flags(command)
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

func printStatus(out io.Writer, s rotation.CAStatus, format string) error {
	if format == show.JSON {
		return show.Value(out, s)
	}
	fmt.Fprintln(out, describe(s))
	rows := show.Columns("Cluster", "Connected", "Trusts all", "SVID by the signer", "Since", "Problem")
	for _, c := range s.Clusters {
		since := "never said"
		if c.Known {
			since = c.At.Format(time.RFC3339)
		}
		show.Row(rows, c.Cluster, c.Connected, c.TrustsAll, c.SignedNew, since, c.Problem)
	}
	return show.Rows(out, format, rows)
}
