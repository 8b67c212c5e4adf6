package request

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

func newDiagnostics(hub *access.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "diagnostics NAME", Short: "Print what a request has collected", Args: cobra.ExactArgs(1),
		Long: "Print what a request of collect-diagnostics, collect-node-diagnostics or debug-probe has collected, once its digest is the one\n" +
			"that the receipt names. What logs and events say, whoever can write those may have written.",
		ValidArgsFunction: Names(hub, v1alpha1.PhaseSucceeded),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object, err := Find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			text, err := collected(object)
			if err != nil {
				return fmt.Errorf("%s: %w", object.Name, err)
			}
			_, err = fmt.Fprint(command.OutOrStdout(), show.Lines(text))
			return err
		},
	}
}

// collected is what a request collected, checked against the receipt.
func collected(r *v1alpha1.ActionRequest) (string, error) {
	if r.Status.Artefact == "" {
		return "", fmt.Errorf("it has collected nothing: %s", show.OrDash(r.Status.Message))
	}
	_, receipt, no := bundle.OpenReceipt([]byte(r.Status.Receipt))
	if no != nil {
		return "", errors.New(no.Detail)
	}
	if receipt.Artefact != bundle.Digest([]byte(r.Status.Artefact)) {
		return "", errors.New("what is there is not what the receipt names: somebody has changed it")
	}
	return r.Status.Artefact, nil
}
