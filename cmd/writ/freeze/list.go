package freeze

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

func newList(hub *access.Hub) *cobra.Command {
	var format string
	var ended bool
	command := &cobra.Command{
		Use: "list", Short: "Print what is frozen", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			var list v1alpha1.FreezeList
			if err := c.List(command.Context(), &list); err != nil {
				return access.Explain(err)
			}
			if !ended {
				list.Items = active(list.Items, time.Now())
			}
			if len(list.Items) == 0 && (format == show.Table || format == show.Wide) {
				fmt.Fprintln(command.ErrOrStderr(), "nothing is frozen")
				return nil
			}
			return show.Object(command.OutOrStdout(), format, &list, func() *metav1.Table { return table(list.Items) })
		},
	}
	command.Flags().BoolVar(&ended, "ended", false, "those that were thawed or have ended, too")
	show.Flag(command, &format, show.All...)
	return command
}

func active(list []v1alpha1.Freeze, now time.Time) []v1alpha1.Freeze {
	var out []v1alpha1.Freeze
	for _, f := range list {
		if f.Active(now) {
			out = append(out, f)
		}
	}
	return out
}

func table(list []v1alpha1.Freeze) *metav1.Table {
	rows, now := show.Columns("Name", "Frozen", "By", "Until", "Age", "Reason"), time.Now()
	for _, f := range list {
		until := "it is thawed"
		switch {
		case f.Spec.Thawed:
			until = "thawed by " + f.Spec.ThawedBy
		case !f.Active(now):
			until = "ended " + f.Spec.Until.UTC().Format(time.RFC3339)
		case f.Spec.Until != nil:
			until = f.Spec.Until.UTC().Format(time.RFC3339)
		}
		show.Row(rows, f.Name, f.Spec.Scope.String(), f.Spec.FrozenBy, until, show.Age(f.CreationTimestamp, now), f.Spec.Reason)
	}
	return rows
}

// NewThaw makes the command "unfreeze".
func NewThaw(hub *access.Hub) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "unfreeze NAME", Aliases: []string{"thaw"}, Short: "Let what was frozen go on",
		Long: "Let what was frozen go on. What was refused meanwhile stays refused: ask again. Who thawed is on the audit log.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object := &v1alpha1.Freeze{}
			err = c.Get(command.Context(), client.ObjectKey{Name: args[0]}, object)
			if access.NotFound(err) {
				return fmt.Errorf("there is no freeze %q; writ freeze list shows those there are", args[0])
			}
			if err != nil {
				return access.Explain(err)
			}
			if !object.Active(time.Now()) {
				return fmt.Errorf("freeze %s does not hold any more", object.Name)
			}
			before := object.DeepCopy()
			object.Spec.Thawed = true
			if err := c.Patch(command.Context(), object, client.MergeFrom(before)); err != nil {
				return access.Explain(err)
			}
			if format != show.Table {
				return show.Object(command.OutOrStdout(), format, object, nil)
			}
			fmt.Fprintf(command.OutOrStdout(), "%s is thawed by %s\n", object.Spec.Scope, show.Plain(object.Spec.ThawedBy))
			return nil
		},
	}
	show.Flag(command, &format, show.Table, show.JSON, show.YAML, show.Name)
	return command
}

// names completes the names of what is frozen.
func names(hub *access.Hub) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := hub.Client(io.Discard)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var list v1alpha1.FreezeList
		if err := c.List(command.Context(), &list); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, f := range active(list.Items, time.Now()) {
			out = append(out, f.Name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
