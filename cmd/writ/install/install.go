// Package install is the commands "writ install ...": they render what the Helm charts install, for those who apply manifests
// themselves or keep them in git.
//
// They talk to no cluster, and write nothing but their output.
package install

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/spoke/enrol"
)

// maxValues bounds one file of values, in bytes.
const maxValues = 1 << 20

// New makes the command "install" with its subcommands.
func New() *cobra.Command {
	command := &cobra.Command{Use: "install", Short: "Render what a hub or a spoke needs on its cluster"}
	command.AddCommand(
		newPart("hub", charts.Hub, "Render a hub and all that it needs",
			"  writ install hub --print -f values.yaml | kubectl apply --server-side -f -\n"+
				"  writ install hub --print --set trustDomain=example.org \\\n"+
				"    --set advertise.enrol=hub.example.org:7443 --set advertise.connect=hub.example.org:7444"),
		newPart("spoke", charts.Spoke, "Render a spoke and all that it needs",
			"  writ install spoke --print --set join.secretName=writ-join --set 'actions.namespaces={shop}' |\n"+
				"    kubectl apply --server-side -f -"),
	)
	return command
}

// options are what the flags say.
type options struct {
	print, showValues bool
	files, set, kinds []string
	join              string
}

func newPart(name, chart, short, example string) *cobra.Command {
	var o options
	command := &cobra.Command{
		Use: name, Short: short, Example: example, Args: cobra.NoArgs,
		Long: short + ", as the Helm chart " + chart + " of this release does.\n\n" +
			"The namespace " + render.Namespace + " is rendered too, with Pod Security enforced. Secrets are not: make them first.",
		RunE: func(command *cobra.Command, _ []string) error {
			switch {
			case o.showValues:
				return values(chart, command.OutOrStdout())
			case !o.print:
				return usage.Errorf("pass --print: nothing is applied from here; kubectl apply --server-side -f - does that")
			}
			files, err := o.read(command.InOrStdin())
			if err != nil {
				return err
			}
			secret, err := o.secret()
			if err != nil {
				return err
			}
			out, err := render.Render(command.Context(), render.Options{Chart: chart, Values: files, Set: o.set, APIVersions: o.kinds})
			if err != nil {
				return err
			}
			out = append(secret, out...)
			_, err = command.OutOrStdout().Write(out)
			return err
		},
	}
	flags := command.Flags()
	flags.BoolVar(&o.print, "print", false, "print the objects")
	flags.BoolVar(&o.showValues, "show-values", false, "print the values that can be set, with what they are where they are not, and end")
	flags.StringArrayVarP(&o.files, "values", "f", nil, "a file of values; - is standard input; may be repeated, the last one wins")
	flags.StringArrayVar(&o.set, "set", nil, "set a value, as key=value or a.b={x,y}; may be repeated")
	flags.StringArrayVar(&o.kinds, "api-versions", nil, "kinds that the cluster has besides Kubernetes' own, as monitoring.coreos.com/v1")
	if chart == charts.Spoke {
		flags.StringVar(&o.join, "join", "", "the join file of writ cluster register: the Secret with it is rendered too, and named in the values")
		_ = command.MarkFlagFilename("join")
	}
	return command
}

// secret is the namespace and the Secret with the join file; nothing where none is given.
func (o options) secret() ([]byte, error) {
	if o.join == "" {
		return nil, nil
	}
	raw, err := readOne(o.join, nil)
	if err != nil {
		return nil, err
	}
	if _, err := enrol.ParseJoin(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", o.join, err)
	}
	var out []byte
	for _, object := range []runtime.Object{deployspoke.Home(), deployspoke.JoinSecret(raw)} {
		one, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		out = append(append(out, "---\n"...), one...)
	}
	return out, nil
}

// read reads the files, and puts what only this way of installing needs before them.
func (o options) read(in io.Reader) ([][]byte, error) {
	files := [][]byte{[]byte("namespace: {create: true}\n")}
	if o.join != "" {
		files = append(files, []byte("join: {secretName: "+deployspoke.JoinSecretName+"}\n"))
	}
	for _, name := range o.files {
		raw, err := readOne(name, in)
		if err != nil {
			return nil, err
		}
		files = append(files, raw)
	}
	return files, nil
}

func readOne(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxValues+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxValues {
		return nil, fmt.Errorf("%s: longer than %d KiB", name, maxValues>>10)
	}
	return raw, nil
}

// values prints the chart's own file: what can be set, and why.
func values(chart string, out io.Writer) error {
	files, err := charts.Files(chart)
	if err != nil {
		return err
	}
	f, err := files.Open("values.yaml")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}
