// Package usage tells a wrong command line, which ends with status 2 and names its help, from a command that failed.
package usage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Error is a command line that cannot be meant.
type Error struct {
	problem string
	help    string // the command to read the help of; empty where it is not known yet
}

func (e *Error) Error() string {
	if e.help == "" {
		return e.problem
	}
	return e.problem + " (see " + e.help + " --help)"
}

// Errorf makes an Error; the command is added by Strict.
func Errorf(format string, args ...any) error { return &Error{problem: fmt.Sprintf(format, args...)} }

// Strict has every command below root answer a wrong command line with an Error, and a command that only groups others
// refuse what it does not know.
func Strict(root *cobra.Command) {
	root.SetFlagErrorFunc(at)
	strict(root)
}

func strict(command *cobra.Command) {
	if !command.Runnable() && command.HasSubCommands() {
		command.Args = known
		command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
	}
	if inner := command.Args; inner != nil {
		command.Args = func(command *cobra.Command, args []string) error { return at(command, inner(command, args)) }
	}
	if inner := command.RunE; inner != nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			err := inner(command, args)
			var wrong *Error
			if errors.As(err, &wrong) {
				return at(command, wrong)
			}
			return err
		}
	}
	for _, child := range command.Commands() {
		strict(child)
	}
}

// at adds where the help is.
func at(command *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return &Error{problem: strings.TrimSpace(firstLine(err.Error())), help: command.CommandPath()}
}

// known is the Args of a command that only groups others.
func known(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	command.SuggestionsMinimumDistance = 2
	problem := fmt.Sprintf("%s has no command %q", command.CommandPath(), args[0])
	if near := command.SuggestionsFor(args[0]); len(near) > 0 {
		problem += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(problem)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
