package rollout

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/asking"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/request"
	"github.com/writ-dev/writ/cmd/writ/site"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// asked is what the flags of create say.
type asked struct {
	file, action, target, reason, onFailure string
	parameters, clusters, waves             []string
	selector                                map[string]string
	maxFailures                             int32
	pause                                   time.Duration
}

func newCreate(hub *access.Hub) *cobra.Command {
	var a asked
	o := &asking.Sending{Noun: "rollout", ToEnd: followToEnd}
	command := &cobra.Command{
		Use:   "create NAME",
		Short: "Ask for an action in many clusters",
		Long: "Ask for an action in many clusters, by flags or by a file, a wave of clusters at a time.\n\n" +
			"Each cluster gets an action request of its own, named NAME.CLUSTER, with policies, tier and approvals as any other.\n" +
			"A wave is a number of clusters (5) or a percentage of all of them, counted from the first (25%). What the waves leave\n" +
			"over is the last one. The waves are the same however the clusters are: choose who is first by the order of --clusters.",
		Example: "  writ rollout create bigger --clusters lab,east,west --waves 1,100% --action scale --target deployment/shop/checkout --param replicas=5\n" +
			"  writ rollout create restart --selector env=prod --waves 1,10%,50% --pause 10m --max-failures 1 --action rollout-restart --target deploy/shop/checkout\n" +
			"  writ rollout create -f rollout.yaml --dry-run",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, args []string) error {
			object, err := a.object(hub, command, args)
			if err != nil {
				return err
			}
			return o.Send(command, hub, object)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&a.file, "file", "f", "", "a file with a Rollout (YAML or JSON); - is standard input")
	flags.StringSliceVar(&a.clusters, "clusters", nil, "names of clusters, in the order in which they are taken")
	flags.StringToStringVar(&a.selector, "selector", nil, "labels of the clusters, KEY=VALUE; all must be there")
	flags.StringSliceVar(&a.waves, "waves", []string{"1", "100%"}, "the waves: numbers of clusters, or percentages of all")
	flags.DurationVar(&a.pause, "pause", 0, "how long a wave is let be before the next, at most 168h")
	flags.Int32Var(&a.maxFailures, "max-failures", 0, "how many clusters may fail; one more stops the rollout")
	flags.StringVar(&a.onFailure, "on-failure", string(v1alpha1.FailureStop), "where it stops by failures, what becomes of what was done: stop leaves it, undo puts it back")
	flags.StringVar(&a.action, "action", "", "action of the catalogue")
	flags.StringVar(&a.target, "target", "", "object to act on in each cluster: KIND/NAMESPACE/NAME")
	flags.StringArrayVar(&a.parameters, "param", nil, "parameter of the action, NAME=VALUE; may be repeated")
	flags.StringVar(&a.reason, "reason", "", "why, for those who approve and those who look back")
	o.Flags(command)
	_ = command.RegisterFlagCompletionFunc("clusters", cluster.Names(hub))
	_ = command.RegisterFlagCompletionFunc("action", cobra.FixedCompletions(catalogue.Names(), cobra.ShellCompDirectiveNoFileComp))
	_ = command.RegisterFlagCompletionFunc("on-failure", cobra.FixedCompletions([]string{string(v1alpha1.FailureStop), string(v1alpha1.FailureUndo)}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// object is the rollout that the flags or the file ask for, checked.
func (a *asked) object(hub *access.Hub, command *cobra.Command, args []string) (object *v1alpha1.Rollout, err error) {
	find := site.On(command.Context(), hub, command.ErrOrStderr())
	if a.file != "" {
		if a.action+a.target+a.reason != "" || len(a.parameters)+len(a.clusters)+len(a.selector) > 0 {
			return nil, usage.Errorf("-f says it all: leave --clusters, --selector, --action, --target, --param and --reason out")
		}
		object, err = a.fromFile(find, hub, command.InOrStdin())
	} else {
		object, err = a.fromFlags(find, hub)
	}
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		object.Name = args[0]
	}
	if object.Name == "" {
		return nil, usage.Errorf("a rollout needs a name: its requests are named after it")
	}
	return object, nil
}

func (a *asked) fromFlags(find site.Finder, hub *access.Hub) (*v1alpha1.Rollout, error) {
	for _, flag := range []struct{ name, value string }{{"action", a.action}, {"target", a.target}} {
		if flag.value == "" {
			return nil, usage.Errorf("--%s is missing", flag.name)
		}
	}
	if (len(a.clusters) > 0) == (len(a.selector) > 0) {
		return nil, usage.Errorf("which clusters? Say --clusters or --selector, one of the two")
	}
	waves, err := parseWaves(a.waves)
	if err != nil {
		return nil, err
	}
	template, err := request.Parse(find, a.action, a.target, a.parameters)
	if err != nil {
		return nil, err
	}
	template.Reason = a.reason
	return &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: hub.In()}, Spec: v1alpha1.RolloutSpec{
		Request: *template, Selector: v1alpha1.ClusterSelector{Names: a.clusters, MatchLabels: a.selector}, Waves: waves,
		MaxFailures: a.maxFailures, Pause: a.pause.String(), OnFailure: v1alpha1.OnFailure(a.onFailure)}}, nil
}

func (a *asked) fromFile(find site.Finder, hub *access.Hub, stdin io.Reader) (*v1alpha1.Rollout, error) {
	raw, err := request.ReadFile(a.file, stdin)
	if err != nil {
		return nil, err
	}
	object := &v1alpha1.Rollout{Spec: v1alpha1.RolloutSpec{Pause: "0s", OnFailure: v1alpha1.FailureStop}}
	if err := request.DecodeInto(raw, "Rollout", object, "status", "spec.requester", "spec.agentClass"); err != nil {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	switch {
	case object.Namespace == "":
		object.Namespace = hub.In()
	case hub.Namespace != "" && hub.Namespace != object.Namespace:
		return nil, fmt.Errorf("%s says namespace %q, -n says %q", a.file, object.Namespace, hub.Namespace)
	}
	if err := request.Check(find, &object.Spec.Request, "any"); err != nil {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	return object, nil
}
