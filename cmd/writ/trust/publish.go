package trust

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/keys"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/hub/rotation"
)

// ask is how often the hub is asked who has followed.
const ask = 300 * time.Millisecond

func newPublish() *cobra.Command {
	var way keys.Way
	var wait time.Duration
	command := &cobra.Command{
		Use: "publish FILE...", Short: "Give the next version of the trust root to a running hub, and to its spokes",
		Long: "Give the next version of the trust root, or several in order, to a running hub. It tells every spoke that is connected, and the\n" +
			"others when they come; each verifies it itself, and says when it is on its disk.\n\n" +
			"Where Vault issues credentials, tell Vault first. It works on the machine that the hub's data directory is on, and with --hub from\n" +
			"elsewhere for an operator; of the chart:\n" +
			"kubectl -n writ-system exec -i writ-hub-0 -- /writ-hub trust-root -publish --config /etc/writ/config/hub.yaml < FILE",
		Example: "  writ trust publish root-2.json --data-dir /var/lib/writ-hub\n" +
			"  writ operator login && writ trust publish root-2.json --hub hub.example.org:7444",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := way.Given(); err != nil {
				return err
			}
			var chain [][]byte
			for _, file := range args {
				raw, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				chain = append(chain, raw)
			}
			hub, err := way.Open()
			if err != nil {
				return err
			}
			defer hub.Close()
			status, err := hub.Publish(command.Context(), chain)
			if err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "published version %d of the trust root, good until %s\n", status.Version, status.Expires.Format(time.DateOnly))
			return follow(command, hub, status, wait)
		},
	}
	way.Flags(command)
	command.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for the spokes that are connected")
	return command
}

// follow waits until every connected spoke has the trust root, and says so as they come.
func follow(command *cobra.Command, hub keys.Hub, status rotation.TrustStatus, wait time.Duration) error {
	out, ctx := command.OutOrStdout(), command.Context()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	told := map[string]bool{}
	for {
		waiting := 0
		for _, c := range status.Clusters {
			switch {
			case c.RootVersion >= status.Version && !told[c.Cluster]:
				fmt.Fprintf(out, "%s has it\n", c.Cluster)
				told[c.Cluster] = true
			case c.Problem != "" && !told[c.Cluster]:
				fmt.Fprintf(out, "%s does not take it: %s\n", c.Cluster, c.Problem)
				told[c.Cluster] = true
			case c.RootVersion < status.Version && c.Connected && c.Known && c.Problem == "":
				waiting++
			}
		}
		if waiting > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(ask):
				next, err := hub.TrustStatus(ctx)
				if err == nil {
					status = next
				}
				continue
			}
		}
		if len(status.Behind) > 0 {
			fmt.Fprintf(out, "%d of %d clusters do not have it yet: %s\nthey take it when their spokes connect; see writ trust status\n",
				len(status.Behind), len(status.Clusters), strings.Join(status.Behind, ", "))
		}
		return nil
	}
}

func newStatus() *cobra.Command {
	var way keys.Way
	var format string
	command := &cobra.Command{
		Use: "status", Short: "See which clusters have the trust root that the hub has",
		Example: "  writ trust status --data-dir /var/lib/writ-hub",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			hub, err := way.Open()
			if err != nil {
				return err
			}
			defer hub.Close()
			status, err := hub.TrustStatus(command.Context())
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

func printStatus(out io.Writer, status rotation.TrustStatus, format string) error {
	if format == show.JSON {
		return show.Value(out, status)
	}
	fmt.Fprintf(out, "version %d of the trust root, good until %s; %d of %d clusters do not have it yet\n", status.Version,
		status.Expires.Format(time.DateOnly), len(status.Behind), len(status.Clusters))
	rows := show.Columns("Cluster", "Connected", "Has", "Of", "Since", "Problem")
	for _, c := range status.Clusters {
		has, since := "unknown", "-"
		if c.Known {
			has, since = fmt.Sprint(c.RootVersion), c.At.Format(time.RFC3339)
		}
		show.Row(rows, c.Cluster, c.Connected, has, status.Version, since, c.Problem)
	}
	return show.Rows(out, format, rows)
}
