// Package doctor is the command "writ doctor": it looks at hub, spokes, Vault, clocks, certificates and queues from where it
// runs, and says in one line each what is wrong and what to do.
//
// It gathers all it can see first, and judges that afterwards. It changes nothing.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// options say what to look at besides the hub's API server.
type options struct {
	hubHealth string
	vault     string
	vaultCA   string
	all       bool
	format    string
}

// New makes the command "doctor".
func New(hub *access.Hub) *cobra.Command {
	var o options
	command := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with hub, spokes, Vault, clocks, certificates and queues",
		Long: "Look for what is wrong, and say what to do about it: one line for each finding.\n\n" +
			"Everything is looked at from here, with your own rights: the hub's API server, what the hub has published there, the Cluster\n" +
			"objects, and the hub's port for spokes. With --hub-health it asks the hub itself, with --vault Vault.\n\n" +
			"It ends with status 1 if a finding is an error. A warning will become one; unknown is what could not be looked at from here.",
		Example: "  writ doctor\n" +
			"  kubectl -n writ-system port-forward writ-hub-0 8080 & writ doctor --hub-health http://localhost:8080\n" +
			"  writ doctor --vault https://vault.example.org:8200 -o json",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := hub.Config(command.ErrOrStderr())
			if err != nil {
				return err
			}
			findings := judge(gather(command.Context(), config, o, time.Now))
			return Tell(command.OutOrStdout(), o.format, o.all, findings)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.hubHealth, "hub-health", "", "URL of the hub's health port, as a port-forward makes it")
	flags.StringVar(&o.vault, "vault", "", "URL of Vault")
	flags.StringVar(&o.vaultCA, "vault-ca", "", "file with the CA of Vault's certificate (default: the system's)")
	flags.BoolVar(&o.all, "all", false, "also print what is well")
	show.Flag(command, &o.format, show.Table, show.JSON)
	return command
}

// Tell prints findings, those that are well only where all are asked for. The error is for a finding that is an error.
func Tell(out io.Writer, format string, all bool, findings []Finding) error {
	if err := tell(out, format, all, findings); err != nil {
		return err
	}
	if n := count(findings, Failing); n > 0 {
		return fmt.Errorf("something is wrong (errors: %d)", n)
	}
	return nil
}

func tell(out io.Writer, format string, all bool, findings []Finding) error {
	shown := []Finding{}
	for _, f := range findings {
		if all || f.Status != Fine {
			shown = append(shown, f)
		}
	}
	if format == show.JSON {
		raw, err := json.MarshalIndent(map[string]any{"findings": shown, "errors": count(findings, Failing),
			"warnings": count(findings, Warning), "unknown": count(findings, Unknown), "ok": count(findings, Fine)}, "", "  ")
		if err != nil {
			return err
		}
		_, err = out.Write(append(show.Escape(raw), '\n'))
		return err
	}
	if len(shown) > 0 {
		rows := show.Columns("Status", "Check", "Subject", "Found", "Do")
		for _, f := range shown {
			show.Row(rows, string(f.Status), f.Check, show.OrDash(f.Subject), f.Found, show.OrDash(f.Fix))
		}
		if err := show.Rows(out, show.Table, rows); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "errors: %d, warnings: %d, unknown: %d, ok: %d\n", count(findings, Failing), count(findings, Warning),
		count(findings, Unknown), count(findings, Fine))
	return nil
}
