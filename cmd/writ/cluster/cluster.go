// Package cluster is the commands "writ cluster ...": they register workload clusters, and show those there are.
//
// A join token is made here, written to the join file, and kept nowhere else: the hub is given its SHA-256 only.
package cluster

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// The phases of a cluster; the hub writes the second.
const (
	pending = "Pending"
	joined  = "Joined"
)

// New makes the command "cluster" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "cluster", Aliases: []string{"clusters"}, Short: "Register workload clusters, and see how they are"}
	command.AddCommand(newRegister(hub), newGet(hub), newList(hub), newDescribe(hub))
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
			describe(command.OutOrStdout(), object, time.Now())
			return nil
		},
	}
}

func describe(out io.Writer, c *v1alpha1.Cluster, now time.Time) {
	story := show.NewStory(out)
	defer story.End()
	story.Say("Cluster", "%s", c.Name)
	story.Say("Phase", "%s", phase(c))
	story.Say("Message", "%s", c.Status.Message)
	story.Say("Registered", "%s, %s ago", c.CreationTimestamp.UTC().Format(time.RFC3339), show.Age(c.CreationTimestamp, now))
	if phase(c) != joined {
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
	story.Say("Spoke", "%s", c.Status.SpokeVersion)
	story.Say("Connected", "%s", yes(c.Status.Connected))
	if c.Status.LastContact != nil {
		story.Say("Last contact", "%s, %s ago", c.Status.LastContact.UTC().Format(time.RFC3339), show.Age(*c.Status.LastContact, now))
	}
	if !c.Status.Connected {
		story.Say("Next", "see whether its spoke runs, and whether it reaches the hub: nobody dials in from here")
	}
}

func table(clusters ...v1alpha1.Cluster) *metav1.Table {
	rows, now := show.Columns("Name", "Phase", "Connected", "Last contact", "Spoke", "Age", "+UID", "+Message"), time.Now()
	for _, c := range clusters {
		contact := "-"
		if c.Status.LastContact != nil {
			contact = show.Age(*c.Status.LastContact, now) + " ago"
		}
		show.Row(rows, c.Name, phase(&c), yes(c.Status.Connected), contact, show.OrDash(c.Status.SpokeVersion),
			show.Age(c.CreationTimestamp, now), show.OrDash(c.Status.ClusterUID), show.OrDash(c.Status.Message))
	}
	return rows
}

func phase(c *v1alpha1.Cluster) string {
	if c.Status.Phase == "" {
		return pending
	}
	return c.Status.Phase
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
