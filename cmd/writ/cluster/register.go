package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/usage"
	hubenrol "github.com/writ-dev/writ/hub/enrol"
	"github.com/writ-dev/writ/spoke/enrol"
)

const (
	tokenSize = 32 // bytes
	tokenLife = hubenrol.TokenLife
)

// registration is what the flags of register and rejoin say.
type registration struct {
	identified
	installation
	file   string
	accept string
	rejoin bool
}

func newRegister(hub *access.Hub) *cobra.Command {
	r := registration{}
	command := &cobra.Command{
		Use:   "register NAME",
		Short: "Let a cluster join the hub under a name",
		Long: "Let a cluster join the hub under a name, and install its spoke.\n\n" +
			"With --workload it does all of that: reads which cluster it is and with which keys it signs, registers it, installs the spoke as\n" +
			"its chart does, and waits until the cluster is ready. With --print it installs nothing, writes a join file, and prints the one\n" +
			"command that installs the spoke. Without any way to the cluster, its admin reads the keys: see --jwks.\n\n" +
			"A spoke joins with two factors: the join file's token, single use, and a token of its own ServiceAccount, which the hub verifies by\n" +
			"these keys. The join file is a secret: mode 0600. While the cluster has not joined, registering again makes another token; the one\n" +
			"before is no longer good.",
		Example: "  writ cluster register east --workload east.kubeconfig --values spoke-values.yaml\n" +
			"  writ cluster register east --workload east.kubeconfig --print -f east.join\n" +
			"  writ cluster register east --jwks jwks.json --issuer https://kubernetes.default.svc --cluster-uid UID",
		Args: cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error { return r.run(command, hub, args[0]) },
	}
	r.flags(command)
	command.Flags().StringVar(&r.accept, "accept", "automatic", "automatic, or manual: a spoke that has proved itself waits for writ cluster accept")
	return command
}

func (r *registration) flags(command *cobra.Command) {
	flags := command.Flags()
	r.identified.flags(flags)
	r.installation.flags(flags)
	flags.StringVarP(&r.file, "file", "f", "", "where to write the join file; - is standard output (default: NAME.join where nothing is installed from here)")
	for _, name := range []string{"workload", "jwks", "values", "file"} {
		_ = command.MarkFlagFilename(name)
	}
}

func (r registration) run(command *cobra.Command, hub *access.Hub, name string) error {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return usage.Errorf("cluster name %q: %s", name, problems[0])
	}
	if r.accept != "automatic" && r.accept != "manual" {
		return usage.Errorf("--accept is automatic or manual, not %q", r.accept)
	}
	if err := r.check(); err != nil {
		return err
	}
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	join, err := joining(command.Context(), c, name)
	if err != nil {
		return err
	}
	pin, err := r.pin(command.Context(), command.InOrStdin())
	if err != nil {
		return err
	}
	spec := v1alpha1.ClusterSpec{Workload: pin, Join: v1alpha1.JoinToken{Rejoin: r.rejoin}}
	if r.accept == "manual" {
		spec.Accept = v1alpha1.AcceptManual
	}
	if r.kubeconfig == "" || r.print {
		return r.byHand(command, c, join, spec)
	}
	if r.rejoin {
		return r.restart(command, c, join, spec)
	}
	return r.install(command, c, join, spec)
}

// byHand writes the join file, and says what to do with it. The file is ready before the hub is told, so that no token is made that
// nobody has.
func (r registration) byHand(command *cobra.Command, c client.Client, join enrol.Join, spec v1alpha1.ClusterSpec) error {
	path, says := r.file, command.ErrOrStderr()
	if path == "" {
		path = join.Cluster + ".join"
	}
	raw, err := mint(&join, &spec)
	if err != nil {
		return err
	}
	file, err := prepare(path, join.Cluster, raw, command.OutOrStdout())
	if err != nil {
		return err
	}
	defer file.discard()
	if err := declare(command.Context(), c, join.Cluster, spec); err != nil {
		return err
	}
	if err := file.commit(); err != nil {
		return fmt.Errorf("cluster %s is registered, but its join file was not written; register it again: %w", join.Cluster, err)
	}
	fmt.Fprintf(says, "cluster %s may join once, until %s (%.0f minutes)\n", join.Cluster, spec.Join.IssuedAt.Add(tokenLife).Local().Format("15:04:05"), tokenLife.Minutes())
	if path == "-" {
		return nil
	}
	fmt.Fprintf(says, "join file: %s (a secret; mode 0600)\n", path)
	r.next(says, join.Cluster, path, spec)
	return nil
}

// next is the one command that installs the spoke, in both forms, ready to be pasted.
func (r registration) next(says io.Writer, name, path string, spec v1alpha1.ClusterSpec) {
	at, values := "", "-f spoke-values.yaml"
	if r.kubeconfig != "" {
		at = " --kubeconfig " + quote(r.kubeconfig)
	}
	if len(r.files) > 0 || len(r.set) > 0 {
		values = r.arguments()
	}
	if r.rejoin {
		fmt.Fprintf(says, "next: give it to the spoke, whose state is to begin anew: see writ cluster rejoin --help\n")
	} else {
		fmt.Fprintf(says, "next: install the spoke in the cluster, with Helm:\n  kubectl%[1]s create namespace writ-system && kubectl%[1]s label namespace writ-system pod-security.kubernetes.io/enforce=restricted && "+
			"kubectl%[1]s -n writ-system create secret generic writ-join --from-file=join.yaml=%[2]s && "+
			"helm%[1]s install writ-spoke deploy/charts/writ-spoke -n writ-system --set join.secretName=writ-join %[3]s --wait\n"+
			"or with plain manifests:\n  writ install spoke --print --join %[2]s %[3]s | kubectl%[1]s apply --server-side -f -\n", at, quote(path), values)
	}
	if spec.Accept == v1alpha1.AcceptManual {
		fmt.Fprintf(says, "then: writ cluster accept %s, once writ cluster list says that its spoke waits\n", name)
	}
}

// mint makes the token: its digest goes into the declaration, itself into the join file, which is returned.
func mint(join *enrol.Join, spec *v1alpha1.ClusterSpec) ([]byte, error) {
	token := make([]byte, tokenSize)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	join.Token = base64.RawURLEncoding.EncodeToString(token)
	raw, err := join.YAML()
	if err != nil {
		return nil, err
	}
	if _, err := enrol.ParseJoin(raw); err != nil {
		return nil, fmt.Errorf("what the hub publishes makes no join file: %w", err)
	}
	spec.Join.SHA256, spec.Join.IssuedAt = hash(join.Token), metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	return raw, nil
}

// joining is the join file without its token, from what the hub publishes.
func joining(ctx context.Context, c client.Client, name string) (enrol.Join, error) {
	info, err := access.Published(ctx, c)
	if err != nil {
		return enrol.Join{}, err
	}
	if _, err := trust.ParseRoot([]byte(info["root.json"]), time.Now()); err != nil {
		return enrol.Join{}, fmt.Errorf("what the hub publishes cannot be used: %w", err)
	}
	return enrol.Join{Cluster: name, Hub: enrol.Hub{Enrol: info["enrol"], Connect: info["connect"]},
		Authorities: info["authorities.pem"], TrustRoot: info["root.json"]}, nil
}

// declare makes the Cluster, or gives one that has not joined, or is to join anew, another token.
func declare(ctx context.Context, c client.Client, name string, spec v1alpha1.ClusterSpec) error {
	object := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	if !spec.Join.Rejoin {
		err := c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict))
		if !apierrors.IsAlreadyExists(err) {
			return access.Explain(err)
		}
	}
	if err := c.Get(ctx, client.ObjectKey{Name: name}, object); err != nil {
		if access.NotFound(err) {
			return fmt.Errorf("there is no cluster %q; writ cluster register makes one", name)
		}
		return access.Explain(err)
	}
	switch p := phase(object); {
	case p == v1alpha1.ClusterJoined && !spec.Join.Rejoin:
		return fmt.Errorf("cluster %s has joined already; remove it first if another one is to take its name (writ cluster remove %s), or let it join anew: writ cluster rejoin %s", name, name, name)
	case p == v1alpha1.ClusterRevoked:
		return fmt.Errorf("cluster %s is revoked; remove it first if another one is to take its name: writ cluster remove %s", name, name)
	}
	before := object.DeepCopy()
	object.Spec = spec // whatever the hub writes of its status meanwhile
	return access.Explain(c.Patch(ctx, object, client.MergeFrom(before), client.FieldValidation(metav1.FieldValidationStrict)))
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
