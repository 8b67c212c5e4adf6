// Package rollout is the commands "writ rollout ...": they ask for one action in many clusters, a wave of them at a time, watch
// it, hold it and end it.
package rollout

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
)

// New makes the command "rollout" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "rollout", Aliases: []string{"rollouts", "ro"}, Short: "Ask for one action in many clusters, wave by wave"}
	command.AddCommand(newCreate(hub), newGet(hub), newList(hub), newPause(hub), newResume(hub), newAbort(hub))
	return command
}

// find reads one rollout.
func find(ctx context.Context, c client.Client, key client.ObjectKey) (*v1alpha1.Rollout, error) {
	object := &v1alpha1.Rollout{}
	err := c.Get(ctx, key, object)
	if access.NotFound(err) {
		return nil, fmt.Errorf("there is no rollout %q in namespace %q; writ rollout list -A shows those there are", key.Name, key.Namespace)
	}
	return object, access.Explain(err)
}

// names completes the names of rollouts; those that have not ended where only those can be meant.
func names(hub *access.Hub, open bool) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := hub.Client(io.Discard)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var list v1alpha1.RolloutList
		if err := c.List(command.Context(), &list, client.InNamespace(hub.In())); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, item := range list.Items {
			if !open || !item.Status.Phase.Final() {
				names = append(names, item.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
