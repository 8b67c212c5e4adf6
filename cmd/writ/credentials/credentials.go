// Package credentials is the command "writ credentials": what is live in the fleet, and the end of it.
package credentials

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// New makes the command with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "credentials", Short: "See the credentials of actions that are live, and end them"}
	command.AddCommand(newList(hub), newRevoke(hub))
	return command
}

// live is one credential, and where it is.
type live struct {
	Cluster string `json:"cluster"`
	v1alpha1.LiveCredential
}

// known is what is known to be live in the fleet, or in a part of it.
type known struct {
	Credentials []live `json:"credentials"`
	// Omitted is how many more there are, Unheard the clusters whose spokes are not connected: what there is of them is what they said last.
	Omitted int64    `json:"omitted,omitempty"`
	Unheard []string `json:"unheard,omitempty"`
}

// scoped is what a scope covers.
type scoped struct{ v1alpha1.FreezeScope }

func (s scoped) covers(c *v1alpha1.Cluster) bool {
	return (s.Cluster == "" || s.Cluster == c.Name) && c.Status.SpokeVersion != ""
}

// of takes from the clusters what is in a scope. A credential that has ended by itself is not live.
func (s scoped) of(clusters []v1alpha1.Cluster, now time.Time) known {
	out := known{Credentials: []live{}}
	for i := range clusters {
		c := &clusters[i]
		if !s.covers(c) {
			continue
		}
		if !c.Status.Connected {
			out.Unheard = append(out.Unheard, c.Name)
		}
		out.Omitted += c.Status.CredentialsOmitted
		for _, one := range c.Status.Credentials {
			if (s.AgentClass == "" || s.AgentClass == one.AgentClass) && (s.Action == "" || s.Action == one.Action) && now.Before(one.Until.Time) {
				out.Credentials = append(out.Credentials, live{c.Name, one})
			}
		}
	}
	return out
}

func newList(hub *access.Hub) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "list", Short: "Print the credentials that may be live",
		Long: "Print the credentials of actions that may be live, in the whole fleet: as each spoke wrote them down before it asked for them, until\n" +
			"nothing is left of them. They live for the seconds that their action takes; what stays here could not be ended yet, and is tried again.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			var fleet v1alpha1.ClusterList
			if err := c.List(command.Context(), &fleet); err != nil {
				return access.Explain(err)
			}
			return scoped{}.of(fleet.Items, time.Now()).write(command, format)
		},
	}
	show.Flag(command, &format, show.Table, show.Wide, show.JSON)
	return command
}

func (k known) write(command *cobra.Command, format string) error {
	out := command.OutOrStdout()
	if format == show.JSON {
		return show.Value(out, k)
	}
	for _, name := range k.Unheard {
		fmt.Fprintf(command.ErrOrStderr(), "warning: the spoke of %s is not connected: of it, this is what it said last\n", name)
	}
	if k.Omitted > 0 {
		fmt.Fprintf(command.ErrOrStderr(), "warning: %d more are not listed\n", k.Omitted)
	}
	if len(k.Credentials) == 0 {
		fmt.Fprintln(command.ErrOrStderr(), "no credential is live")
		return nil
	}
	return show.Rows(out, format, k.table())
}

func (k known) table() *metav1.Table {
	rows, now := show.Columns("Cluster", "Action", "Target", "Agent class", "Request", "Age", "Ends by itself"), time.Now()
	for _, l := range k.Credentials {
		show.Row(rows, l.Cluster, l.Action, l.Target, show.OrDash(l.AgentClass), show.OrDash(l.Request), show.Age(l.Since, now), l.Until.UTC().Format(time.RFC3339))
	}
	return rows
}
