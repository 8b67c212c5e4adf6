package request

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/site"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// asked is what the flags of create say.
type asked struct {
	file, cluster, action, target, reason string
	parameters                            []string
}

func newCreate(hub *access.Hub) *cobra.Command {
	var a asked
	o := sending()
	command := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Ask for an action",
		Long: "Ask for an action, by flags or by a file. Without a name the request gets one.\n\n" +
			"The request is checked against the catalogue first; writ action describe ACTION says what an action takes.",
		Example: "  writ request create --cluster east --action scale --target deployment/shop/checkout --param replicas=5 --reason sale --wait\n" +
			"  writ request create -f request.yaml --dry-run",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, args []string) error {
			object, err := a.object(site.On(command.Context(), hub, command.ErrOrStderr()), hub, command.InOrStdin())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				object.Name, object.GenerateName = args[0], ""
			}
			return o.Send(command, hub, object)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&a.file, "file", "f", "", "a file with an ActionRequest (YAML or JSON); - is standard input")
	flags.StringVar(&a.cluster, "cluster", "", "name of the cluster to act in")
	flags.StringVar(&a.action, "action", "", "action of the catalogue, or of the site's own")
	flags.StringVar(&a.target, "target", "", "object to act on: KIND/NAMESPACE/NAME")
	flags.StringArrayVar(&a.parameters, "param", nil, "parameter of the action, NAME=VALUE; may be repeated")
	flags.StringVar(&a.reason, "reason", "", "why, for those who approve and those who look back")
	_ = command.RegisterFlagCompletionFunc("cluster", cluster.Names(hub))
	_ = command.RegisterFlagCompletionFunc("action", cobra.FixedCompletions(catalogue.Names(), cobra.ShellCompDirectiveNoFileComp))
	o.Flags(command)
	return command
}

// object is the request that the flags or the file ask for, checked.
func (a asked) object(find site.Finder, hub *access.Hub, stdin io.Reader) (*v1alpha1.ActionRequest, error) {
	if a.file != "" {
		if a.cluster+a.action+a.target+a.reason != "" || len(a.parameters) > 0 {
			return nil, usage.Errorf("-f says it all: leave --cluster, --action, --target, --param and --reason out")
		}
		return a.fromFile(find, hub, stdin)
	}
	for _, flag := range []struct{ name, value string }{{"cluster", a.cluster}, {"action", a.action}, {"target", a.target}} {
		if flag.value == "" {
			return nil, usage.Errorf("--%s is missing", flag.name)
		}
	}
	action, err := find(a.action)
	if err != nil {
		return nil, err
	}
	target, err := parseTarget(action, a.target)
	if err != nil {
		return nil, err
	}
	parameters, err := parseParameters(action, a.parameters)
	if err != nil {
		return nil, err
	}
	object := &v1alpha1.ActionRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: hub.In(), GenerateName: a.action + "-"},
		Spec:       v1alpha1.ActionRequestSpec{Cluster: a.cluster, Action: a.action, Target: target, Parameters: parameters, Reason: a.reason},
	}
	return object, check(find, object)
}

func (a asked) fromFile(find site.Finder, hub *access.Hub, stdin io.Reader) (*v1alpha1.ActionRequest, error) {
	raw, err := readFile(a.file, stdin)
	if err != nil {
		return nil, err
	}
	object, err := Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	switch {
	case object.Namespace == "":
		object.Namespace = hub.In()
	case hub.Namespace != "" && hub.Namespace != object.Namespace:
		return nil, fmt.Errorf("%s says namespace %q, -n says %q", a.file, object.Namespace, hub.Namespace)
	}
	if object.Name == "" && object.GenerateName == "" {
		object.GenerateName = object.Spec.Action + "-"
	}
	if err := check(find, object); err != nil {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	return object, nil
}

// readFile reads at most maxFile bytes.
func readFile(path string, stdin io.Reader) (raw []byte, err error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	raw, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	if len(raw) > maxFile {
		err = errors.Join(err, fmt.Errorf("%s has more than the %d bytes allowed", path, maxFile))
	}
	return raw, err
}
