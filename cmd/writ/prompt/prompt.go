// Package prompt asks a person before something is done that matters.
package prompt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// errNotConfirmed is what Confirm returns where the answer is anything but yes.
var errNotConfirmed = errors.New("nothing was written")

// Confirm wants a person's yes to a question, at a terminal: what is piped in is no person. to says what --yes would do without
// asking. Anything but yes is an error, and so is a terminal that is not there.
func Confirm(command *cobra.Command, question, to string) error {
	in, ok := command.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return fmt.Errorf("there is no terminal to ask at: pass --yes to %s without being asked; nothing was written", to)
	}
	fmt.Fprintf(command.OutOrStdout(), "%s [y/N] ", question)
	answer, err := readLine(command.Context(), in)
	if err != nil {
		fmt.Fprintln(command.OutOrStdout())
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}

// readLine reads one line, or ends with the context: a read of a terminal cannot be broken off, so it is left behind.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		done <- read{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		return r.line, r.err
	}
}
