package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/prompt"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// heardWithin is how long the hub is given to take a revocation in; a live one does it within a second.
const heardWithin = 15 * time.Second

func newRevoke(hub *access.Hub, vault Withdraw) *cobra.Command {
	var reason string
	var yes bool
	command := &cobra.Command{
		Use: "revoke NAME", Short: "End the identity of a cluster for good",
		Long: "End the identity of a cluster for good: its connection is closed, nothing that its spoke says is heard any more, and\n" +
			"nothing is signed for it. The name is free again only once the cluster is removed.\n\n" +
			"What its spoke was given before ends by itself: bundles within 5 minutes, credentials with their action's deadline.",
		Example: "  writ cluster revoke east --reason \"its node was stolen\"",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			if reason == "" {
				return usage.Errorf("--reason is needed: it goes on the audit log")
			}
			object, err := find(command, hub, args[0])
			if err != nil {
				return err
			}
			if !yes && object.Spec.Revoked == nil {
				if err := prompt.Confirm(command, fmt.Sprintf("Revoke cluster %s for good?", object.Name), "revoke"); err != nil {
					return err
				}
			}
			if err := revoke(command, hub, object, reason); err != nil {
				return err
			}
			if err := vault.fromVault(command.Context(), command.OutOrStdout(), object.Name); err != nil {
				return fmt.Errorf("cluster %s is revoked, but %w", object.Name, err)
			}
			fmt.Fprintf(command.OutOrStdout(), "next: %s\n", afterwards(object.Name))
			return nil
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why; it goes on the audit log")
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return command
}

// revoke declares it, and waits until the hub has taken it in. Doing it again waits again.
func revoke(command *cobra.Command, hub *access.Hub, object *v1alpha1.Cluster, reason string) error {
	ctx, out := command.Context(), command.OutOrStdout()
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	if object.Spec.Revoked == nil {
		before := object.DeepCopy()
		object.Spec.Revoked = &v1alpha1.Revocation{Reason: reason}
		if err := c.Patch(ctx, object, client.MergeFrom(before)); err != nil {
			return access.Explain(err)
		}
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, heardWithin, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, types.NamespacedName{Name: object.Name}, object)
		return object.Status.Phase == v1alpha1.ClusterRevoked, access.Explain(err)
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("cluster %s is declared revoked, but the hub has not taken that in within %s: see whether writ-hub runs; it does so when it starts", object.Name, heardWithin)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "cluster %s is revoked: its spoke is cut off, its queue is sealed\n", object.Name)
	return nil
}

// afterwards is what is left to do for a cluster that was let go.
func afterwards(name string) string {
	return fmt.Sprintf("writ cluster remove %s gives the name free, and with --workload takes the spoke away from the cluster", name)
}

func newRemove(hub *access.Hub, vault Withdraw) *cobra.Command {
	var yes bool
	var kubeconfig string
	command := &cobra.Command{
		Use: "remove NAME", Short: "Retire a cluster, and give its name free",
		Long: "Retire a cluster: its identity ends, as by revoke, what was declared about it is deleted, and so is what can be reached of the rest:\n" +
			"in Vault, where VAULT_ADDR and VAULT_TOKEN say which; in the cluster, with --workload, what writ cluster register installed there. It\n" +
			"says what could not be reached. The hub itself cannot reach into the cluster.",
		Example: "  writ cluster remove east --workload east.kubeconfig",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			object, err := find(command, hub, args[0])
			if err != nil {
				return err
			}
			if !yes {
				if err := prompt.Confirm(command, fmt.Sprintf("Remove cluster %s?", object.Name), "remove"); err != nil {
					return err
				}
			}
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := c.Delete(command.Context(), object, client.Preconditions{UID: &object.UID}); err != nil {
				return access.Explain(err)
			}
			ctx, out := command.Context(), command.OutOrStdout()
			fmt.Fprintf(out, "cluster %s is removed; its name is free\n", object.Name)
			if err := errors.Join(vault.fromVault(ctx, out, object.Name), fromCluster(ctx, out, kubeconfig)); err != nil {
				return fmt.Errorf("cluster %s is removed, but %s", object.Name, strings.ReplaceAll(err.Error(), "\n", "; and "))
			}
			return nil
		},
	}
	command.Flags().StringVar(&kubeconfig, "workload", "", "kubeconfig of the workload cluster, to delete what was installed there")
	_ = command.MarkFlagFilename("workload")
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return command
}
