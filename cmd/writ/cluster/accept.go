package cluster

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/asking"
	"github.com/writ-dev/writ/cmd/writ/prompt"
	"github.com/writ-dev/writ/cmd/writ/show"
)

func newAccept(hub *access.Hub) *cobra.Command {
	var key string
	var yes bool
	command := &cobra.Command{
		Use: "accept NAME", Short: "Let in a spoke that has proved itself and waits",
		Long: "Let in a spoke that has proved itself and waits, where its cluster was registered with --accept=manual.\n\n" +
			"The word is for that one spoke, by the digest of its receipt key. Compare it with what the spoke's log says (\"enrols\"); --key holds\n" +
			"the acceptance to it.",
		Example: "  writ cluster accept east\n  writ cluster accept east --yes --key 5f6c…",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			object, err := find(command, hub, args[0])
			if err != nil {
				return err
			}
			if err := mayAccept(object, key); err != nil {
				return err
			}
			if !yes {
				fmt.Fprintf(command.OutOrStdout(), "cluster %s (kube-system %s)\nits spoke's receipt key: %s\n", object.Name, show.Plain(object.Status.ClusterUID), show.Plain(object.Status.ReceiptKey))
				if err := prompt.Confirm(command, "Let this spoke in?", "accept"); err != nil {
					return err
				}
			}
			return accept(command, hub, object)
		},
	}
	command.Flags().StringVar(&key, "key", "", "the digest of the spoke's receipt key, as its log says it: another one is not accepted")
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return command
}

// mayAccept says why there is nothing to accept, if so.
func mayAccept(object *v1alpha1.Cluster, key string) error {
	switch {
	case phase(object) == v1alpha1.ClusterRevoked:
		return fmt.Errorf("cluster %s is revoked", object.Name)
	case object.Spec.Accept != v1alpha1.AcceptManual:
		return fmt.Errorf("cluster %s needs no acceptance: a spoke that proves itself is let in; --accept=manual of writ cluster register makes it wait", object.Name)
	case key != "" && key != object.Status.ReceiptKey:
		return fmt.Errorf("the spoke that waits for cluster %s has another receipt key (%s): if it is not yours, revoke the cluster: writ cluster revoke %s", object.Name, show.Plain(show.OrDash(object.Status.ReceiptKey)), object.Name)
	case !waits(object):
		return fmt.Errorf("no spoke of cluster %s waits to be accepted: see writ cluster describe %s", object.Name, object.Name)
	}
	return nil
}

// accept says it, and waits until the hub has let the spoke in.
func accept(command *cobra.Command, hub *access.Hub, object *v1alpha1.Cluster) error {
	ctx, out := command.Context(), command.OutOrStdout()
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	before := object.DeepCopy()
	object.Spec.Accepted = object.Status.ReceiptKey // as people saw it: the hub lets nobody else in by that, whatever it writes meanwhile
	if err := c.Patch(ctx, object, client.MergeFrom(before)); err != nil {
		return access.Explain(err)
	}
	fmt.Fprintf(out, "cluster %s: the spoke with the receipt key %s is accepted; it asks again within 10 seconds\nnext: writ cluster watch %s\n", object.Name, show.Plain(object.Status.ReceiptKey), object.Name)
	return nil
}

func newWatch(hub *access.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "watch [NAME]", Short: "Print each change of clusters as it comes", Args: cobra.MaximumNArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			key := client.ObjectKey{}
			if len(args) == 1 {
				if _, err := find(command, hub, args[0]); err != nil {
					return err
				}
				key.Name = args[0]
			}
			last := map[string]string{}
			return asking.Follow(command.Context(), c, func() client.ObjectList { return &v1alpha1.ClusterList{} }, key,
				func(object *v1alpha1.Cluster, gone bool) (bool, error) {
					line := fmt.Sprintf("%-24s  %-8s  %-8s  %-8s  %s", show.Plain(object.Name), phase(object), state(object, v1alpha1.ClusterReady),
						state(object, v1alpha1.ClusterCredentialsIssuing), show.Plain(message(object)))
					if gone {
						line = fmt.Sprintf("%-24s  removed", show.Plain(object.Name))
					}
					if last[object.Name] == line {
						return false, nil
					}
					if len(last) == 0 {
						fmt.Fprintf(command.OutOrStdout(), "%-8s  %-24s  %-8s  %-8s  %-8s  %s\n", "TIME", "NAME", "PHASE", "READY", "ISSUING", "MESSAGE")
					}
					last[object.Name] = line
					_, err := fmt.Fprintf(command.OutOrStdout(), "%s  %s\n", time.Now().Format(time.TimeOnly), line)
					return gone && key.Name != "", err
				})
		},
	}
}
