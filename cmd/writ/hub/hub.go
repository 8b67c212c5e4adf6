// Package hub is the commands "writ hub ...": they save what a hub must not lose, and bring it back.
//
// They work on the machine that the hub's data directory is on; writ-hub has the same commands for a pod.
package hub

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/hub/backup"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/door"
)

// New makes the command "hub" with its subcommands.
func New() *cobra.Command {
	command := &cobra.Command{Use: "hub", Short: "Back up a hub, and restore it"}
	command.AddCommand(newBackup(), newRestore(), newReset())
	return command
}

func newBackup() *cobra.Command {
	var dir, file string
	command := &cobra.Command{
		Use: "backup", Short: "Save the state of a running hub to a file",
		Long: "Save the store, the audit log, the CA and the audit log's key of a running hub to one file, of one moment.\n\n" +
			"The file holds private keys: keep it like one. The gateway's key and the trust root are not in it.\n" +
			"Of the chart: kubectl -n writ-system exec writ-hub-0 -- /writ-hub backup --config /etc/writ/config/hub.yaml > FILE",
		Example: "  writ hub backup --data-dir /var/lib/writ-hub -f hub.backup",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if dir == "" || file == "" {
				return usage.Errorf("--data-dir and --file are needed")
			}
			m, s, err := backup.FetchFile(command.Context(), door.Client(dir), door.Host, file)
			if err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "%s: %s\nit holds private keys: keep it like one\n", file, m.Describe(s))
			return nil
		},
	}
	dataDir(command, &dir)
	command.Flags().StringVarP(&file, "file", "f", "", "file to write; it must not exist")
	return command
}

func newRestore() *cobra.Command {
	var dir, file, domain string
	command := &cobra.Command{
		Use: "restore", Short: "Make a hub's data directory from a backup",
		Long: "Make a data directory, which must be empty, from a backup.\n\n" +
			"The hub that is started on it signs nothing for a cluster before its spoke has said where it stands. A spoke that has\n" +
			"taken bundles since the backup was made is refused: the hub cannot know what they were.",
		Example: "  writ hub restore --data-dir /var/lib/writ-hub --trust-domain example.org -f hub.backup",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if dir == "" || file == "" || domain == "" {
				return usage.Errorf("--data-dir, --trust-domain and --file are needed")
			}
			from, err := open(command, file)
			if err != nil {
				return err
			}
			defer from.Close()
			now := time.Now()
			mark := func(m backup.Manifest) []store.Op { return []store.Op{gateway.Restored(m.MadeAt, now)} }
			log := slog.New(slog.NewTextHandler(command.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			m, s, err := backup.Restore(command.Context(), from, dir, domain, mark, log)
			if err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "%s: restored %s\nnext: start the hub; nothing is signed for a cluster before its spoke has said where it stands\n",
				dir, m.Describe(s))
			return nil
		},
	}
	dataDir(command, &dir)
	command.Flags().StringVar(&domain, "trust-domain", "", "the hub's trust domain, as in its configuration")
	command.Flags().StringVarP(&file, "file", "f", "", "the backup; - is standard input")
	return command
}

func newReset() *cobra.Command {
	var dir, file string
	command := &cobra.Command{
		Use: "reset-epoch", Short: "Let clusters' sequences begin anew, as the root keys have signed",
		Long: "Hand a statement that writ trust reset-epoch made to a running hub that was restored from a backup.\n\n" +
			"The hub then signs for the clusters in the new epoch, from 1 on, and shows the statement to their spokes, which verify it\n" +
			"themselves. Of the chart: kubectl -n writ-system exec -i writ-hub-0 -- /writ-hub reset-epoch --config /etc/writ/config/hub.yaml < FILE",
		Example: "  writ hub reset-epoch --data-dir /var/lib/writ-hub -f reset.json",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if dir == "" || file == "" {
				return usage.Errorf("--data-dir and --file are needed")
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			said, err := door.Reset(command.Context(), door.Client(dir), raw)
			if err != nil {
				return err
			}
			fmt.Fprintln(command.OutOrStdout(), said)
			return nil
		},
	}
	dataDir(command, &dir)
	command.Flags().StringVarP(&file, "file", "f", "", "the statement")
	return command
}

func dataDir(command *cobra.Command, dir *string) {
	command.Flags().StringVar(dir, "data-dir", "", "the hub's data directory, as in its configuration")
	_ = command.MarkFlagDirname("data-dir")
}

func open(command *cobra.Command, file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(command.InOrStdin()), nil
	}
	return os.Open(file)
}
