package rollout

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

func newGet(hub *access.Hub) *cobra.Command {
	var format string
	var watch bool
	command := &cobra.Command{
		Use: "get NAME", Short: "Print a rollout's waves, or follow it with -w",
		Long: "Print a rollout's waves and clusters. With -w it is followed to its end, with a bar: status 1 unless it succeeded.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: names(hub, false),
		RunE: func(command *cobra.Command, args []string) error {
			if watch && format != show.Table {
				return usage.Errorf("-w prints lines: leave -o out")
			}
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object, err := find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			out := command.OutOrStdout()
			switch {
			case watch:
				return followToEnd(command.Context(), c, hub.Key(args[0]), out)
			case format != show.Table && format != show.Wide:
				return show.Object(out, format, object, nil)
			}
			describe(out, object)
			return show.Rows(out, format, clusters(object))
		},
	}
	command.Flags().BoolVarP(&watch, "watch", "w", false, "print each change as it comes")
	show.Flag(command, &format, show.All...)
	return command
}

func newList(hub *access.Hub) *cobra.Command {
	var format string
	var all bool
	command := &cobra.Command{
		Use: "list", Short: "Print all rollouts of the namespace", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			namespace, where := hub.In(), "in namespace "+hub.In()+" (-A looks in all)"
			if all {
				namespace, where = "", "in any namespace"
			}
			var list v1alpha1.RolloutList
			if err := c.List(command.Context(), &list, client.InNamespace(namespace)); err != nil {
				return access.Explain(err)
			}
			if len(list.Items) == 0 && (format == show.Table || format == show.Wide) {
				fmt.Fprintln(command.ErrOrStderr(), "there are no rollouts "+where)
				return nil
			}
			return show.Object(command.OutOrStdout(), format, &list, func() *metav1.Table { return table(all, list.Items...) })
		},
	}
	command.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	show.Flag(command, &format, show.All...)
	return command
}

// table shows rollouts, with the namespace where they are of several.
func table(namespaced bool, rollouts ...v1alpha1.Rollout) *metav1.Table {
	columns := []string{"Name", "Action", "Phase", "Wave", "Clusters", "Failed", "Age", "+Requester", "Message"}
	if namespaced {
		columns = append([]string{"Namespace"}, columns...)
	}
	rows, now := show.Columns(columns...), time.Now()
	for _, r := range rollouts {
		cells := []any{r.Name, r.Spec.Request.Action, phaseOf(&r), show.OrDash(r.Status.Wave), show.OrDash(r.Status.Progress), r.Status.Failed,
			show.Age(r.CreationTimestamp, now), show.OrDash(r.Spec.Requester), show.OrDash(r.Status.Message)}
		if namespaced {
			cells = append([]any{r.Namespace}, cells...)
		}
		show.Row(rows, cells...)
	}
	return rows
}

// phaseOf is the phase; a rollout that the hub has not seen yet has none.
func phaseOf(r *v1alpha1.Rollout) v1alpha1.RolloutPhase {
	if r.Status.Phase == "" {
		return "Pending"
	}
	return r.Status.Phase
}
