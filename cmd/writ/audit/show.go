package audit

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/cmd/writ/show"
)

func newShow(p *place) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "show REQUEST",
		Short: "Print what the log says about one request, in order",
		Long:  "Print what the log says about one request, in order. REQUEST is a name, a namespace/name, or a UID.",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			command.SilenceUsage = true
			folder, err := p.folder()
			if err != nil {
				return err
			}
			verifier, _, err := p.verifier()
			if err != nil {
				return err
			}
			entries, err := auditlog.Story(command.Context(), folder, verifier, args[0])
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				return fmt.Errorf("the audit log has no entry about request %q", args[0])
			}
			return printStory(command.OutOrStdout(), entries, format)
		},
	}
	output(command, &format)
	return command
}

func printStory(out io.Writer, entries []auditlog.Indexed, format string) error {
	if format == "json" {
		return show.Value(out, entries)
	}
	told := ""
	for _, e := range entries {
		if r := e.Entry.Request; r.UID != told {
			told = r.UID
			fmt.Fprintf(out, "request %s (%s)\n", plain(r.Namespace+"/"+r.Name), plain(r.UID))
		}
		signed := ""
		if !e.Signed {
			signed = "  (not signed yet)"
		}
		if _, err := fmt.Fprintf(out, "%6d  %s  %-9s  %s%s\n", e.Index, e.Entry.Time.Format(time.RFC3339), e.Entry.Type,
			plain(e.Entry.Summary()), signed); err != nil {
			return err
		}
	}
	return nil
}
