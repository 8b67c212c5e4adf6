package request

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// looking is what get and list are told.
type looking struct {
	all, watch bool
	format     string
}

func newGet(hub *access.Hub) *cobra.Command {
	var l looking
	command := &cobra.Command{
		Use: "get [NAME]", Short: "Print requests, or follow them with -w",
		Long: "Print requests, or follow them with -w: one line a change. With a name it ends with the request, and with status 1 unless it succeeded.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			if err := l.check(len(args) == 1); err != nil {
				return err
			}
			if len(args) == 1 {
				return l.get(command, hub, hub.Key(args[0]))
			}
			return l.list(command, hub)
		},
	}
	l.flags(command)
	return command
}

func newList(hub *access.Hub) *cobra.Command {
	var l looking
	command := &cobra.Command{
		Use: "list", Short: "Print all requests of the namespace", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := l.check(false); err != nil {
				return err
			}
			return l.list(command, hub)
		},
	}
	l.flags(command)
	return command
}

func (l *looking) flags(command *cobra.Command) {
	command.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "of all namespaces: agents have their own")
	command.Flags().BoolVarP(&l.watch, "watch", "w", false, "print each change as it comes")
	show.Flag(command, &l.format, show.All...)
}

func (l *looking) check(named bool) error {
	switch {
	case named && l.all:
		return usage.Errorf("-A and a name exclude each other; NAMESPACE/NAME names one of another namespace")
	case l.watch && l.format != show.Table:
		return usage.Errorf("-w prints lines: leave -o out")
	}
	return nil
}

func (l *looking) get(command *cobra.Command, hub *access.Hub, key client.ObjectKey) error {
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	object, err := Find(command.Context(), c, key)
	if err != nil {
		return err
	}
	if l.watch {
		return FollowToEnd(command.Context(), c, key, command.OutOrStdout())
	}
	return show.Object(command.OutOrStdout(), l.format, object, func() *metav1.Table { return table(false, *object) })
}

func (l *looking) list(command *cobra.Command, hub *access.Hub) error {
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	namespace, where := hub.In(), "in namespace "+hub.In()+" (-A looks in all)"
	if l.all {
		namespace, where = "", "in any namespace"
	}
	if l.watch {
		return Follow(command.Context(), c, client.ObjectKey{Namespace: namespace}, Lines(command.OutOrStdout(), l.all))
	}
	var list v1alpha1.ActionRequestList
	if err := c.List(command.Context(), &list, client.InNamespace(namespace)); err != nil {
		return access.Explain(err)
	}
	if len(list.Items) == 0 && (l.format == show.Table || l.format == show.Wide) {
		fmt.Fprintln(command.ErrOrStderr(), "there are no requests "+where)
		return nil
	}
	return show.Object(command.OutOrStdout(), l.format, &list, func() *metav1.Table { return table(l.all, list.Items...) })
}
