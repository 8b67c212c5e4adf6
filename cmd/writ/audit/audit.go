// Package audit is the commands "writ audit ...": they check the audit log's folder and read from it, offline. They never
// write to it.
package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// The environment variables that stand in for the flags.
const (
	envLog = "WRIT_AUDIT_LOG"
	envKey = "WRIT_AUDIT_KEY"
)

// keyFile is where the hub publishes the log's key: next to the log's folder.
const keyFile = "audit.vkey"

// place is where the log and its key are.
type place struct {
	log string
	key string
}

// New makes the command "audit" with its subcommands.
func New() *cobra.Command {
	var p place
	command := &cobra.Command{
		Use:   "audit",
		Short: "Check the audit log, and read from it, without trusting the hub",
		Long: "Check the audit log, and read from it, without trusting the hub.\n\n" +
			"The log is a plain tlog-tiles folder: a copy of it and its key are all that is needed.",
	}
	command.PersistentFlags().StringVar(&p.log, "log", os.Getenv(envLog), "the audit log's folder ($"+envLog+")")
	command.PersistentFlags().StringVar(&p.key, "key", os.Getenv(envKey),
		"the log's key, or a file with it ($"+envKey+"; default: "+keyFile+" next to the folder)")
	command.AddCommand(newVerify(&p), newShow(&p), newKey(&p))
	return command
}

// folder is the log's folder.
func (p place) folder() (string, error) {
	if p.log == "" {
		return "", fmt.Errorf("which audit log? Pass --log DIR, or set %s", envLog)
	}
	info, err := os.Stat(p.log)
	if err != nil {
		return "", fmt.Errorf("the audit log: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("the audit log: %s is not a folder", p.log)
	}
	return p.log, nil
}

// verifier is the log's key: given whole, in a file, or next to the folder.
func (p place) verifier() (note.Verifier, string, error) {
	text := p.key
	if verifier, err := note.NewVerifier(text); err == nil {
		return verifier, text, nil
	}
	file := text
	if file == "" {
		if p.log == "" {
			return nil, "", fmt.Errorf("which key? Pass --key or --log, or set %s", envKey)
		}
		folder, err := filepath.Abs(p.log)
		if err != nil {
			return nil, "", err
		}
		file = filepath.Join(filepath.Dir(folder), keyFile)
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("the audit log's key is not in %s: pass --key FILE or the key itself", file)
	}
	if err != nil {
		return nil, "", fmt.Errorf("the audit log's key: %w", err)
	}
	text = strings.TrimSpace(string(raw))
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, "", fmt.Errorf("the audit log's key: %s: %w", file, err)
	}
	return verifier, text, nil
}

func newKey(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Print the log's public key, as other verifiers of tlog-tiles take it",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, text, err := p.verifier()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), text)
			return err
		},
	}
}

// plain makes text safe for a terminal: what clusters and agents wrote is on the log too.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// output is the flag -o of the commands that have it.
func output(command *cobra.Command, into *string) {
	command.Flags().StringVarP(into, "output", "o", "text", "text or json")
	command.PreRunE = func(*cobra.Command, []string) error {
		if *into != "text" && *into != "json" {
			return fmt.Errorf("output %q is neither text nor json", *into)
		}
		return nil
	}
}
