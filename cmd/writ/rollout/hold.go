package rollout

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/cmd/writ/access"
)

func newPause(hub *access.Hub) *cobra.Command {
	return newHold(hub, "pause", "Hold a rollout: nothing more is asked for; what was asked for goes on", `{"spec":{"paused":true}}`, "is paused")
}

func newResume(hub *access.Hub) *cobra.Command {
	return newHold(hub, "resume", "Let a paused rollout go on", `{"spec":{"paused":false}}`, "goes on")
}

func newAbort(hub *access.Hub) *cobra.Command {
	return newHold(hub, "abort", "End a rollout: what is not signed yet is withdrawn; what was done stays", `{"spec":{"aborted":true}}`, "is aborted")
}

// newHold makes a command that changes one of the two things of a rollout that can be changed.
func newHold(hub *access.Hub, verb, short, patch, says string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: names(hub, true),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object, err := find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			key := client.ObjectKeyFromObject(object)
			if object.Status.Phase.Final() {
				return fmt.Errorf("rollout %s has ended (%s)", key, object.Status.Phase)
			}
			if err := c.Patch(command.Context(), object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
				return access.Explain(err)
			}
			fmt.Fprintf(command.OutOrStdout(), "rollout %s %s\n", key, says)
			return nil
		},
	}
}
