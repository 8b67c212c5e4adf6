// Package request is the commands "writ request ...": they ask for actions, follow them, tell their story, and ask for what
// undoes them.
//
// What is asked is checked here against the catalogue, so that a slip is told before anything is written. The hub checks again.
package request

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
)

// New makes the command "request" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "request", Aliases: []string{"requests", "ar"}, Short: "Ask for actions, and follow them"}
	command.AddCommand(newCreate(hub), newGet(hub), newList(hub), newDescribe(hub), newDiagnostics(hub), newUndo(hub))
	return command
}

// Find reads one request.
func Find(ctx context.Context, c client.Client, key client.ObjectKey) (*v1alpha1.ActionRequest, error) {
	object := &v1alpha1.ActionRequest{}
	err := c.Get(ctx, key, object)
	if access.NotFound(err) {
		return nil, fmt.Errorf("there is no request %q in namespace %q; writ request list -A shows those there are", key.Name, key.Namespace)
	}
	return object, access.Explain(err)
}

// Names completes the names of requests, those in one of the phases given if any.
func Names(hub *access.Hub, phases ...v1alpha1.Phase) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := hub.Client(io.Discard)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var list v1alpha1.ActionRequestList
		if err := c.List(command.Context(), &list, client.InNamespace(hub.In())); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, item := range list.Items {
			if len(phases) == 0 || slices.Contains(phases, item.Status.Phase) {
				names = append(names, item.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
