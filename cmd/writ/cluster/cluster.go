// Package cluster is the commands "writ cluster ...": they register workload clusters, and show those there are.
//
// A join token is made here, written to the join file, and kept nowhere else: the hub is given its SHA-256 only.
package cluster

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// New makes the command "cluster" with its subcommands. vault takes a cluster's access to Vault away, for those that let one go.
func New(hub *access.Hub, vault Withdraw) *cobra.Command {
	command := &cobra.Command{Use: "cluster", Aliases: []string{"clusters"}, Short: "Register workload clusters, see how they are, and let them go"}
	command.AddCommand(newRegister(hub), newGet(hub), newList(hub), newDescribe(hub), newWatch(hub), newAccept(hub), newRejoin(hub), newRevoke(hub, vault), newRemove(hub, vault))
	return command
}

func newGet(hub *access.Hub) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "get NAME", Short: "Print a cluster", Args: cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			object, err := find(command, hub, args[0])
			if err != nil {
				return err
			}
			return show.Object(command.OutOrStdout(), format, object, func() *metav1.Table { return table(*object) })
		},
	}
	show.Flag(command, &format, show.All...)
	return command
}

func newList(hub *access.Hub) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "list", Short: "Print all clusters", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			var list v1alpha1.ClusterList
			if err := c.List(command.Context(), &list); err != nil {
				return access.Explain(err)
			}
			if len(list.Items) == 0 && (format == show.Table || format == show.Wide) {
				fmt.Fprintln(command.ErrOrStderr(), "no cluster is registered; writ cluster register NAME does it")
				return nil
			}
			return show.Object(command.OutOrStdout(), format, &list, func() *metav1.Table { return table(list.Items...) })
		},
	}
	show.Flag(command, &format, show.All...)
	return command
}

func newDescribe(hub *access.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Tell how a cluster is, and what to do next", Args: cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			object, err := find(command, hub, args[0])
			if err != nil {
				return err
			}
			describe(command.OutOrStdout(), object, frozen(command, hub, object.Name), time.Now())
			return nil
		},
	}
}

// frozen says, a line each, what of a cluster is frozen, as far as whoever asks may see it.
func frozen(command *cobra.Command, hub *access.Hub, name string) []string {
	c, err := hub.Client(io.Discard)
	if err != nil {
		return nil
	}
	var list v1alpha1.FreezeList
	if err := c.List(command.Context(), &list); err != nil {
		return []string{"not known: " + access.Explain(err).Error()}
	}
	var lines []string
	for _, f := range list.Items {
		if !f.Active(time.Now()) || f.Spec.Scope.Cluster != "" && f.Spec.Scope.Cluster != name {
			continue
		}
		until := ""
		if f.Spec.Until != nil {
			until = ", until " + f.Spec.Until.UTC().Format(time.RFC3339)
		}
		lines = append(lines, fmt.Sprintf("%s by %s%s: %s (writ unfreeze %s)", f.Spec.Scope, f.Spec.FrozenBy, until, f.Spec.Reason, f.Name))
	}
	return lines
}

func describe(out io.Writer, c *v1alpha1.Cluster, frozen []string, now time.Time) {
	story := show.NewStory(out)
	defer story.End()
	story.Say("Cluster", "%s", c.Name)
	story.Say("Phase", "%s", phase(c))
	story.Say("Message", "%s", c.Status.Message)
	for _, line := range frozen {
		story.Say("Frozen", "%s", line)
	}
	story.Say("Registered", "%s, %s ago", c.CreationTimestamp.UTC().Format(time.RFC3339), show.Age(c.CreationTimestamp, now))
	if phase(c) == v1alpha1.ClusterRevoked {
		story.Say("Next", "%s", afterwards(c.Name))
		return
	}
	if waits(c) {
		story.Say("Receipt key", "%s", c.Status.ReceiptKey)
		story.Say("Next", "compare that with what its spoke's log says; then writ cluster accept %s", c.Name)
		return
	}
	if phase(c) != v1alpha1.ClusterJoined {
		good := c.Spec.Join.IssuedAt.Add(tokenLife)
		if now.Before(good) {
			story.Say("Token", "good until %s", good.UTC().Format(time.RFC3339))
			story.Say("Next", "start its spoke with the join file")
			return
		}
		story.Say("Token", "no longer good since %s", good.UTC().Format(time.RFC3339))
		story.Say("Next", "writ cluster register %s makes a new one", c.Name)
		return
	}
	story.Say("UID", "%s", c.Status.ClusterUID)
	if c.Status.Epoch > 0 {
		story.Say("Epoch", "%d", c.Status.Epoch)
	}
	story.Say("Receipt key", "%s", c.Status.ReceiptKey)
	story.Say("Spoke", "%s", c.Status.SpokeVersion)
	story.Say("Kubernetes", "%s", c.Status.KubernetesVersion)
	if has := c.Status.Capacity; has != nil {
		story.Say("Capacity", "%d nodes: cpu %s, memory %s, %s pods", c.Status.Nodes, has.CPU.String(), has.Memory.String(), has.Pods.String())
	}
	for _, condition := range c.Status.Conditions {
		story.Say(condition.Type, "%s, since %s: %s", strings.ToLower(string(condition.Status)), condition.LastTransitionTime.UTC().Format(time.RFC3339), condition.Message)
	}
	story.Say("Sequence", "%d acknowledged, %d wait", c.Status.SequenceAcknowledged, c.Status.Queue)
	if c.Status.TrustRootVersion > 0 {
		story.Say("Trust root", "version %d", c.Status.TrustRootVersion)
	}
	if c.Status.SVIDExpires != nil {
		story.Say("SVID", "ends %s", c.Status.SVIDExpires.UTC().Format(time.RFC3339))
	}
	story.Say("Connected", "%s", yes(c.Status.Connected))
	if c.Status.LastContact != nil {
		story.Say("Last contact", "%s, %s ago", c.Status.LastContact.UTC().Format(time.RFC3339), show.Age(*c.Status.LastContact, now))
	}
	if !c.Status.Connected {
		story.Say("Next", "see whether its spoke runs, and whether it reaches the hub: nobody dials in from here")
	}
}

func table(clusters ...v1alpha1.Cluster) *metav1.Table {
	rows, now := show.Columns("Name", "Phase", "Ready", "Issuing", "Last contact", "Spoke", "Kubernetes", "Nodes", "Age", "+Queue", "+Acknowledged", "+SVID ends", "+Trust root", "+UID", "+Message"), time.Now()
	for _, c := range clusters {
		contact := "-"
		if c.Status.LastContact != nil {
			contact = show.Age(*c.Status.LastContact, now) + " ago"
		}
		ends, nodes, root := "-", "-", "-"
		if c.Status.SVIDExpires != nil {
			ends = c.Status.SVIDExpires.UTC().Format(time.RFC3339)
		}
		if c.Status.TrustRootVersion > 0 {
			root = strconv.FormatInt(c.Status.TrustRootVersion, 10)
		}
		if c.Status.Nodes > 0 {
			nodes = strconv.FormatInt(c.Status.Nodes, 10)
		}
		show.Row(rows, c.Name, phase(&c), state(&c, v1alpha1.ClusterReady), state(&c, v1alpha1.ClusterCredentialsIssuing), contact, show.OrDash(c.Status.SpokeVersion),
			show.OrDash(c.Status.KubernetesVersion), nodes, show.Age(c.CreationTimestamp, now), strconv.FormatInt(c.Status.Queue, 10),
			strconv.FormatInt(c.Status.SequenceAcknowledged, 10), ends, root, show.OrDash(c.Status.ClusterUID), show.OrDash(message(&c)))
	}
	return rows
}

func phase(c *v1alpha1.Cluster) string {
	if c.Status.Phase == "" {
		return v1alpha1.ClusterPending
	}
	return c.Status.Phase
}

// state is what a condition says in one word.
func state(c *v1alpha1.Cluster, kind string) string {
	found := meta.FindStatusCondition(c.Status.Conditions, kind)
	switch {
	case found == nil || found.Status == metav1.ConditionUnknown:
		return "-"
	case found.Status == metav1.ConditionTrue:
		return "yes"
	}
	return "no"
}

// message is why a cluster is not ready.
func message(c *v1alpha1.Cluster) string {
	if c.Status.Message != "" {
		return c.Status.Message
	}
	for _, kind := range []string{v1alpha1.ClusterAccepted, v1alpha1.ClusterEnrolled, v1alpha1.ClusterReady, v1alpha1.ClusterCredentialsIssuing} {
		if found := meta.FindStatusCondition(c.Status.Conditions, kind); found != nil && found.Status == metav1.ConditionFalse {
			return found.Message
		}
	}
	return ""
}

// waits reports whether a spoke of the cluster has proved itself, and is to be accepted.
func waits(c *v1alpha1.Cluster) bool {
	found := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ClusterAccepted)
	return found != nil && found.Reason == "AwaitingAcceptance"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func find(command *cobra.Command, hub *access.Hub, name string) (*v1alpha1.Cluster, error) {
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	object := &v1alpha1.Cluster{}
	err = c.Get(command.Context(), client.ObjectKey{Name: name}, object)
	if access.NotFound(err) {
		return nil, fmt.Errorf("there is no cluster %q; writ cluster list shows those there are", name)
	}
	return object, access.Explain(err)
}

// Names completes the names of clusters.
func Names(hub *access.Hub) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := hub.Client(io.Discard)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var list v1alpha1.ClusterList
		if err := c.List(command.Context(), &list); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, item := range list.Items {
			names = append(names, item.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
