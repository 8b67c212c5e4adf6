// Package freeze is the commands "writ freeze" and "writ unfreeze": they stop actions at once, and let them go on.
//
// Freezing does not ask: whoever freezes is in a hurry, and nothing is lost by it. Thawing does not ask either, but names what
// goes on.
package freeze

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// Order is what is to be frozen, as the flags of a command say it.
type Order struct {
	v1alpha1.FreezeSpec
	Length time.Duration // 0: until it is thawed
}

// Flags adds the flags that say it. length is how long it lasts where nobody says otherwise.
func (o *Order) Flags(command *cobra.Command, hub *access.Hub, length time.Duration) {
	flags := command.Flags()
	flags.BoolVar(&o.Scope.All, "all", false, "every action in every cluster")
	flags.StringVar(&o.Scope.Cluster, "cluster", "", "every action in this cluster")
	flags.StringVar(&o.Scope.AgentClass, "agent-class", "", "everything that this agent class asks for")
	flags.StringVar(&o.Scope.Action, "action", "", "this action, in every cluster")
	flags.StringVar(&o.Reason, "reason", "", "why; everybody whose request is refused reads it")
	flags.DurationVar(&o.Length, "for", length, "when it ends by itself (0: when it is thawed)")
	_ = command.RegisterFlagCompletionFunc("cluster", func(command *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return cluster.Names(hub)(command, nil, typed)
	})
	_ = command.RegisterFlagCompletionFunc("action", cobra.FixedCompletions(catalogue.Names(), cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"reason", "for", "agent-class"} {
		_ = command.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// Check refuses what the API server would refuse, with the flags' names.
func (o *Order) Check() error {
	given := 0
	for _, set := range []bool{o.Scope.All, o.Scope.Cluster != "", o.Scope.AgentClass != "", o.Scope.Action != ""} {
		if set {
			given++
		}
	}
	switch {
	case given != 1:
		return usage.Errorf("exactly one of --all, --cluster, --agent-class and --action is needed")
	case o.Reason == "":
		return usage.Errorf("--reason is needed: everybody whose request is refused reads it")
	case o.Length < 0:
		return usage.Errorf("--for %s has passed", o.Length)
	case o.Scope.Action != "" && catalogue.Actions()[o.Scope.Action] == nil && !strings.HasPrefix(o.Scope.Action, catalogue.SitePrefix):
		return usage.Errorf("the catalogue has no action %q; writ action list shows those there are", o.Scope.Action)
	}
	return nil
}

// Declare has it frozen.
func (o *Order) Declare(ctx context.Context, c client.Client) (*v1alpha1.Freeze, error) {
	object := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix(o.Scope)}, Spec: o.FreezeSpec}
	if o.Length > 0 {
		until := metav1.NewTime(time.Now().Add(o.Length).Truncate(time.Second).Add(time.Second))
		object.Spec.Until = &until
	}
	if err := c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
		return nil, access.Explain(err)
	}
	return object, nil
}

// New makes the command "freeze" with its subcommand.
func New(hub *access.Hub) *cobra.Command {
	var o Order
	var format string
	command := &cobra.Command{
		Use: "freeze --all|--cluster C|--agent-class A|--action X --reason R", Short: "Stop actions at once",
		Long: "Stop actions at once: in the scope, nothing new is signed, requests are refused, and what was signed and not started is\n" +
			"not started any more. What was started goes on to its end; writ credentials revoke stops that too. Spokes hold a freeze through\n" +
			"restarts and without the hub, until they hear from it that it was thawed, or until its end.",
		Example: "  writ freeze --cluster east --reason \"the database is being moved\" --for 2h\n  writ freeze --all --reason \"something is wrong\"",
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return o.freeze(command, hub, format) },
	}
	o.Flags(command, hub, 0)
	show.Flag(command, &format, show.Table, show.JSON, show.YAML, show.Name)
	command.AddCommand(newList(hub))
	return command
}

func (o *Order) freeze(command *cobra.Command, hub *access.Hub, format string) error {
	if err := o.Check(); err != nil {
		return err
	}
	ctx, out := command.Context(), command.OutOrStdout()
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	object, err := o.Declare(ctx, c)
	if err != nil {
		return err
	}
	var fleet v1alpha1.ClusterList // frozen already: who cannot hold it is said as far as it can be seen
	if err := c.List(ctx, &fleet); err != nil {
		fmt.Fprintf(command.ErrOrStderr(), "which spokes hold it cannot be seen: %v\n", access.Explain(err))
	}
	warn(command.ErrOrStderr(), o.Scope, fleet.Items)
	if format != show.Table {
		return show.Object(out, format, object, nil)
	}
	fmt.Fprintf(out, "%s is frozen by %s, %s\nnext: writ unfreeze %s\n", object.Spec.Scope, show.Plain(object.Spec.FrozenBy), Ends(object), object.Name)
	return nil
}

// prefix begins the name of a freeze.
func prefix(s v1alpha1.FreezeScope) string {
	for _, name := range []string{s.Cluster, s.AgentClass, s.Action} {
		if name != "" {
			return name[:min(len(name), 50)] + "-"
		}
	}
	return "all-"
}

// warn names the clusters in the scope whose spokes cannot hold a freeze, or may not have heard of it.
func warn(to io.Writer, scope v1alpha1.FreezeScope, clusters []v1alpha1.Cluster) {
	for _, c := range clusters {
		switch {
		case scope.Cluster != "" && scope.Cluster != c.Name || c.Status.SpokeVersion == "":
		case c.Status.Capability < int64(capability.Freezes):
			fmt.Fprintf(to, "warning: the spoke of %s (%s) cannot hold a freeze: it starts what it was sent before; upgrade it\n",
				c.Name, show.Plain(c.Status.SpokeVersion))
		case !c.Status.Connected:
			fmt.Fprintf(to, "warning: the spoke of %s is not connected: it hears of this when it is, before any bundle\n", c.Name)
		}
	}
}

// Ends is when a freeze ends, for people.
func Ends(f *v1alpha1.Freeze) string {
	if f.Spec.Until == nil {
		return "until it is thawed"
	}
	return "until " + f.Spec.Until.UTC().Format(time.RFC3339)
}
