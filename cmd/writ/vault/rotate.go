package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/credentials/vault"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
)

// rotation is what the flags say.
type rotation struct {
	setup
	endOld bool
}

func newRotate(hub *access.Hub) *cobra.Command {
	var o rotation
	command := &cobra.Command{
		Use: "rotate CLUSTER", Short: "Give Vault another token of its own account in a cluster",
		Long: "Give Vault another token of its own account in a cluster, and change nothing else: no action notices. The token of before counts until its\n" +
			"own end. With --end-old the account is made anew, under the same name and with the same rights, so that every token of before counts\n" +
			"no more: what acts in that moment tries again, and is done.\n\n" +
			reached,
		Example: "  writ vault rotate east --workload east.kubeconfig\n  writ vault rotate east --workload east.kubeconfig --end-old",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cluster.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			if o.workload == "" {
				return usage.Errorf("--workload is needed: the kubeconfig of cluster %s", args[0])
			}
			return o.rotate(command, args[0])
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.workload, "workload", "", "kubeconfig of the workload cluster, for this command alone")
	flags.DurationVar(&o.life, "token-life", tokenLife, "how long the token lives")
	flags.BoolVar(&o.endOld, "end-old", false, "end every token of before, now")
	_ = command.MarkFlagFilename("workload")
	return command
}

func (o rotation) rotate(command *cobra.Command, name string) error {
	ctx, says := command.Context(), command.OutOrStdout()
	root, err := connect()
	if err != nil {
		return err
	}
	config, err := workloadConfig(o.workload)
	if err != nil {
		return err
	}
	ended := false
	ends, err := vault.Rotate(ctx, root, name, func(ctx context.Context) (string, time.Time, error) {
		if o.endOld {
			if err := renewAccount(ctx, config); err != nil {
				return "", time.Time{}, err
			}
			ended = true
			fmt.Fprintf(says, "the account %s/%s is made anew: its tokens of before count no more\n", deployspoke.SystemNamespace, deployspoke.VaultAccount)
		}
		return o.token(ctx, config)
	})
	switch {
	case errors.Is(err, vault.ErrNotSetUp):
		return fmt.Errorf("%w: writ vault setup %s makes it; nothing was done", err, name)
	case err != nil && ended:
		return fmt.Errorf("vault has no token for %s that counts, and no action there gets a credential: do this again: %w", name, err)
	case err != nil:
		return err
	}
	fmt.Fprintf(says, "vault has another token for cluster %s, until %s\n", name, ends.Local().Format(time.DateTime))
	if !o.endOld {
		fmt.Fprintln(says, "the token of before counts until its own end: --end-old ends it now")
	}
	fmt.Fprintf(says, "next: writ vault doctor %s --workload %s\n", name, o.workload)
	return nil
}

// renewAccount makes Vault's account anew, with the labels and annotations that it has: a token names the account's UID. Rights go by its name.
func renewAccount(ctx context.Context, config *rest.Config) error {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	accounts := c.CoreV1().ServiceAccounts(deployspoke.SystemNamespace)
	old, err := accounts.Get(ctx, deployspoke.VaultAccount, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return noAccount()
	}
	if err != nil {
		return fmt.Errorf("workload cluster: %w", err)
	}
	anew := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name, Labels: old.Labels, Annotations: old.Annotations},
		AutomountServiceAccountToken: old.AutomountServiceAccountToken}
	if err := accounts.Delete(ctx, old.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(old.UID))}); err != nil {
		return fmt.Errorf("workload cluster: %w", err)
	}
	if _, err := accounts.Create(ctx, anew, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the account %s/%s was deleted and is not there again: apply deploy/spoke, then do this again: %w", old.Namespace, old.Name, err)
	}
	return nil
}
