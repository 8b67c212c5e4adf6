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
	corev1 "k8s.io/api/core/v1"
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

// hubInfo is where the hub publishes how it is joined.
var hubInfo = client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}

func newRegister(hub *access.Hub) *cobra.Command {
	var path string
	command := &cobra.Command{
		Use:   "register NAME",
		Short: "Let a cluster join the hub under a name",
		Long: "Let a cluster join the hub under a name.\n\nMakes a join token, single use, and writes a join file for the cluster's spoke. " +
			"The file holds the token, a secret: mode 0600.\nWhile the cluster has not joined, registering again makes another token; the one before is no longer good.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			name := args[0]
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				return usage.Errorf("cluster name %q: %s", name, problems[0])
			}
			if path == "" {
				path = name + ".join"
			}
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			return register(command.Context(), c, name, path, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	command.Flags().StringVarP(&path, "file", "f", "", "where to write the join file; - is standard output (default: NAME.join)")
	return command
}

// register has the file ready before it tells the hub, so that no token is made that nobody has.
func register(ctx context.Context, c client.Client, name, path string, out, says io.Writer) error {
	join, err := joining(ctx, c, name)
	if err != nil {
		return err
	}
	token := make([]byte, tokenSize)
	if _, err := rand.Read(token); err != nil {
		return err
	}
	join.Token = base64.RawURLEncoding.EncodeToString(token)
	raw, err := join.YAML()
	if err != nil {
		return err
	}
	if _, err := enrol.ParseJoin(raw); err != nil {
		return fmt.Errorf("what the hub publishes makes no join file: %w", err)
	}
	file, err := prepare(path, name, raw, out)
	if err != nil {
		return err
	}
	defer file.discard()
	issued := metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	if err := declare(ctx, c, name, v1alpha1.JoinToken{SHA256: hash(join.Token), IssuedAt: issued}); err != nil {
		return err
	}
	if err := file.commit(); err != nil {
		return fmt.Errorf("cluster %s is registered, but its join file was not written; register it again: %w", name, err)
	}
	fmt.Fprintf(says, "cluster %s may join once, until %s (%.0f minutes)\n", name, issued.Add(tokenLife).Local().Format("15:04:05"), tokenLife.Minutes())
	if path != "-" {
		fmt.Fprintf(says, "join file: %s (a secret; mode 0600)\n", path)
		fmt.Fprintf(says, "next: take it to the cluster, name it in the spoke's configuration (join: %s), and start writ-spoke there\n", path)
	}
	return nil
}

// joining is the join file without its token, from what the hub publishes.
func joining(ctx context.Context, c client.Client, name string) (enrol.Join, error) {
	var info corev1.ConfigMap
	err := c.Get(ctx, hubInfo, &info)
	if access.NotFound(err) {
		return enrol.Join{}, fmt.Errorf("the hub has not published how it is joined (ConfigMap %s): see whether writ-hub runs", hubInfo)
	}
	if err != nil {
		return enrol.Join{}, access.Explain(err)
	}
	if _, err := trust.ParseRoot([]byte(info.Data["root.json"]), time.Now()); err != nil {
		return enrol.Join{}, fmt.Errorf("what the hub publishes (ConfigMap %s) cannot be used: %w", hubInfo, err)
	}
	return enrol.Join{Cluster: name, Hub: enrol.Hub{Enrol: info.Data["enrol"], Connect: info.Data["connect"]},
		Authorities: info.Data["authorities.pem"], TrustRoot: info.Data["root.json"]}, nil
}

// declare makes the Cluster, or gives one that has not joined another token.
func declare(ctx context.Context, c client.Client, name string, token v1alpha1.JoinToken) error {
	object := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterSpec{Join: token}}
	err := c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict))
	if !apierrors.IsAlreadyExists(err) {
		return access.Explain(err)
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return access.Explain(err)
	}
	if phase(object) == joined {
		return fmt.Errorf("cluster %s has joined already; delete it first if another one is to take its name", name)
	}
	object.Spec.Join = token
	return access.Explain(c.Update(ctx, object, client.FieldValidation(metav1.FieldValidationStrict)))
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
