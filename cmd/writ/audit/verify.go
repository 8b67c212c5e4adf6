package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// ErrFindings is what "audit verify" ends with where there are findings; they have been printed.
var ErrFindings = errors.New("the audit log does not verify")

func newVerify(p *place) *cobra.Command {
	var since, format string
	command := &cobra.Command{
		Use:   "verify",
		Short: "Check the whole log: every byte, every order, every signature",
		Long: "Check the whole log: its signature, that no byte was changed, that every order was answered, and that every\n" +
			"answer was signed by the cluster it came from. The exit status is 1 if anything was found.\n\n" +
			"--since FILE remembers the log's checkpoint in FILE, and the next time checks that the log only grew: keep that file\n" +
			"where the hub cannot write.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			command.SilenceUsage = true
			folder, err := p.folder()
			if err != nil {
				return err
			}
			verifier, _, err := p.verifier()
			if err != nil {
				return err
			}
			seen, err := recall(since, verifier)
			if err != nil {
				return err
			}
			report, err := auditlog.Verify(command.Context(), folder, verifier, seen, time.Now())
			if err != nil {
				return err
			}
			if err := printReport(command.OutOrStdout(), report, format); err != nil {
				return err
			}
			if !report.OK() {
				return fmt.Errorf("%w: %d findings", ErrFindings, len(report.Findings))
			}
			return remember(since, report.Checkpoint)
		},
	}
	command.Flags().StringVar(&since, "since", "", "file with the checkpoint seen last; written after a check without findings")
	output(command, &format)
	return command
}

// recall reads the checkpoint seen last; nil the first time.
func recall(file string, verifier note.Verifier) (*auditlog.Checkpoint, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the checkpoint seen last: %w", err)
	}
	checkpoint, err := auditlog.ParseCheckpoint(raw, verifier)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint seen last: %s: %w", file, err)
	}
	return &checkpoint, nil
}

// remember keeps the checkpoint for the next time.
func remember(file string, checkpoint *auditlog.Checkpoint) error {
	if file == "" {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("keeping the checkpoint: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(checkpoint.Raw)
	if err = errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("keeping the checkpoint: %w", err)
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return fmt.Errorf("keeping the checkpoint: %w", err)
	}
	return nil
}

// mostShown is how many findings of a check are printed as text; JSON has all.
const mostShown = 10

func printReport(out io.Writer, report auditlog.Report, format string) error {
	if format == "json" {
		return show.Value(out, report)
	}
	for _, check := range report.Checks {
		word := "ok  "
		if check.Findings > 0 {
			word = "FAIL"
		}
		fmt.Fprintf(out, "%s  %-10s  %s\n", word, check.Name, plain(check.Detail))
		shown := 0
		for _, finding := range report.Findings {
			if finding.Reason.Check() != check.Name {
				continue
			}
			if shown++; shown > mostShown {
				fmt.Fprintf(out, "      … and %d more: -o json has them all\n", check.Findings-mostShown)
				break
			}
			fmt.Fprintf(out, "      %s\n", plain(finding.String()))
		}
	}
	next := "nothing was found. One request's story: writ audit show REQUEST"
	if !report.OK() {
		next = "keep a copy of the folder as it is, compare it with a backup or a witness, and find out who could write to it"
	}
	_, err := fmt.Fprintln(out, next)
	return err
}
