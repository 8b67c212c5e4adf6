// Package vault is the commands "writ vault ...": they prepare Vault for the clusters whose credentials it issues.
//
// Vault is reached as its own command line reaches it: VAULT_ADDR, VAULT_TOKEN (or ~/.vault-token), VAULT_CACERT and so on.
// No token is ever a flag, printed or written to a file.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/credentials/vault"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
)

// reached ends the help of every command that asks Vault.
const reached = "Vault is reached as its own command line does: VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT."

// New makes the command "vault" with its subcommands.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "vault", Short: "Prepare Vault for clusters' credentials, and for the keys of gateway and CA"}
	command.AddCommand(newSetup(hub), newAuthentication(hub), newRotate(hub), newDoctor(hub), newRemove(hub), newGatewayKey(), newGateway(hub), newAuthority(hub))
	return command
}

func newRemove(hub *access.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "remove CLUSTER", Short: "Take from a cluster its mount, policies and login in Vault",
		Long: "Take from a cluster its policies, its logins and its mount in Vault, and with the mount every credential that it issued.\n\n" +
			reached,
		Example: "  writ vault remove east",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cluster.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			root, err := connect()
			if err != nil {
				return err
			}
			if err := vault.Remove(command.Context(), root, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "vault has no mount, policy or login of cluster %s any more; its credentials are revoked\n", args[0])
			return nil
		},
	}
}

// Withdraw takes from a cluster what it has in Vault, where the environment says which Vault; else asked is false.
func Withdraw(ctx context.Context, name string) (asked bool, err error) {
	if os.Getenv(vaultapi.EnvVaultAddress) == "" {
		return false, nil
	}
	root, err := connect()
	if err != nil {
		return true, err
	}
	return true, vault.Remove(ctx, root, name)
}

// tokenLife is how long Vault's token for its account in a cluster lives, unless somebody says otherwise.
const tokenLife = 90 * 24 * time.Hour

func noAccount() error {
	return fmt.Errorf("the workload cluster has no ServiceAccount %s/%s: install the spoke with credentials: vault first",
		deployspoke.SystemNamespace, deployspoke.VaultAccount)
}

type setup struct {
	workload, server                  string
	address, caFile, serverName, tier string
	trustRoots, cidrs                 []string
	stock, oidc, dryRun               bool
	life                              time.Duration
}

func newSetup(hub *access.Hub) *cobra.Command {
	var o setup
	command := &cobra.Command{
		Use:   "setup CLUSTER",
		Short: "Give a cluster its own mount and policies in Vault, and have Vault judge its bundles",
		Long: "Give a cluster its own Kubernetes secrets engine in Vault, and have Vault judge its bundles: a credential of it exists only\n" +
			"for a valid, unused bundle that the spoke of that very cluster presents. Doing it again renews the token by which Vault\n" +
			"works in the cluster, and tells Vault of a new trust root or CA.\n\n" +
			"Vault is reached as its own command line does: VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT. The engine must be there as the\n" +
			"plugin \"kubernetes\", which Vault has built in, and Writ's auth method as " + vault.AuthPlugin + ".\n" +
			"Where Vault has no way to the cluster's API server, --oidc has it vouch for the actions instead: the API server takes its word\n" +
			"(writ vault authentication), and needs a way to Vault.\n" +
			"Where Vault takes no plugins, --stock has the spoke log in by its certificate alone: Vault then judges no bundle.",
		Example: "  writ vault setup east --workload east.kubeconfig --dry-run\n  writ vault setup east --workload east.kubeconfig",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cluster.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			if o.workload == "" {
				return usage.Errorf("--workload is needed: the kubeconfig of cluster %s", args[0])
			}
			if o.stock && o.oidc {
				return usage.Errorf("--stock and --oidc are two ways: what Vault vouches for it has judged")
			}
			return o.run(command, hub, args[0])
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.workload, "workload", "", "kubeconfig of the workload cluster, for this command alone")
	flags.StringVar(&o.server, "server", "", "the workload cluster's API server as Vault reaches it (default: the kubeconfig's)")
	flags.DurationVar(&o.life, "token-life", tokenLife, "how long Vault's token for its account in the cluster lives")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	flags.StringVar(&o.address, "vault-address", "", "Vault as its own nodes reach it (default: VAULT_ADDR)")
	flags.StringVar(&o.caFile, "vault-ca", "", "PEM: what Vault's certificate is signed by (default: VAULT_CACERT)")
	flags.StringVar(&o.serverName, "vault-server-name", "", "the name in Vault's certificate, if it is not that of its address")
	flags.StringArrayVar(&o.trustRoots, "trust-root", nil, "the trust root that Vault judges by, as a copy that did not come from the hub (default: what the hub publishes);\n"+
		"again for each version after it, in order")
	flags.StringVar(&o.tier, "lowered-to", "", "the tier to which the cluster's own policy may lower what an action demands: low or medium (default: not at all)")
	flags.BoolVar(&o.stock, "stock", false, "for a Vault without Writ's auth method: it judges no bundle")
	flags.BoolVar(&o.oidc, "oidc", false, "for a cluster whose API server Vault cannot reach: Vault vouches for its actions")
	flags.StringSliceVar(&o.cidrs, "bound-cidr", nil, "with --stock: where alone the spoke's token may be used from")
	_ = command.MarkFlagFilename("workload")
	_ = command.MarkFlagFilename("vault-ca")
	return command
}

func (o setup) run(command *cobra.Command, hub *access.Hub, name string) error {
	ctx, says := command.Context(), command.OutOrStdout()
	info, root, err := both(command, hub)
	if err != nil {
		return err
	}
	config, err := workloadConfig(o.workload)
	if err != nil {
		return err
	}
	options, err := o.options(root, info, config, name)
	if err != nil {
		return err
	}
	if !o.dryRun && !o.oidc {
		if options.ServiceAccountToken, options.TokenEnds, err = o.token(ctx, config); err != nil {
			return err
		}
	}
	if options.ClusterUID, err = clusterUID(ctx, config); err != nil {
		return err
	}
	steps, err := vault.Plan(ctx, root, options)
	if err != nil {
		return err
	}
	if o.dryRun {
		if !o.oidc {
			fmt.Fprintf(says, "would ask the cluster for a token of %s/%s that lives %s\n", deployspoke.SystemNamespace, deployspoke.VaultAccount, o.life)
		}
		foretell(says, steps)
		return nil
	}
	if err := vault.Do(ctx, name, steps); err != nil {
		return err
	}
	if o.oidc {
		fmt.Fprintf(says, "vault judges the bundles of cluster %s, and vouches for its actions\n", name)
		fmt.Fprintf(says, "next: have its API server take Vault's word (writ vault authentication %s), then start the spoke with credentials: oidc\n", name)
		return nil
	}
	fmt.Fprintf(says, "vault has the mount %s\n", vault.Mount(name))
	if o.stock {
		fmt.Fprintf(says, "the spoke of cluster %s logs in by its certificate; vault judges no bundle\n", name)
	} else {
		fmt.Fprintf(says, "vault judges the bundles of cluster %s\n", name)
	}
	fmt.Fprintf(says, "its token for %s ends %s: writ vault rotate %s before\n", options.KubernetesHost, options.TokenEnds.Local().Format(time.DateTime), name)
	if o.stock {
		fmt.Fprintf(says, "next: start the spoke with credentials: vault, and vault.login: certificate\n")
	} else {
		fmt.Fprintf(says, "next: start the spoke with credentials: vault\n")
	}
	return nil
}

// options is what Vault is to know of the cluster, but for what only the cluster knows.
func (o setup) options(root *vaultapi.Client, info map[string]string, config *rest.Config, name string) (vault.SetupOptions, error) {
	options := vault.SetupOptions{Cluster: name, TrustDomain: info["trustDomain"], Authorities: []byte(info["authorities.pem"]), TrustRoots: [][]byte{[]byte(info["root.json"])},
		KubernetesHost: config.Host, KubernetesCA: config.CAData, Address: root.Address(), ServerName: o.serverName, LoweredTo: o.tier,
		OIDC: o.oidc, Stock: o.stock, BoundCIDRs: o.cidrs}
	if o.server != "" {
		options.KubernetesHost = o.server
	}
	if o.address != "" {
		options.Address = o.address
	}
	if o.stock {
		return options, nil
	}
	var err error
	if len(o.trustRoots) > 0 {
		options.TrustRoots = nil
	}
	for _, file := range o.trustRoots {
		raw, err := os.ReadFile(file)
		if err != nil {
			return options, fmt.Errorf("trust root: %w", err)
		}
		options.TrustRoots = append(options.TrustRoots, raw)
	}
	options.CA, err = vaultCA(o.caFile, "for Vault's auth method to reach Vault itself")
	return options, err
}

// vaultCA reads what Vault's certificate is signed by, from a file or from that of the environment.
func vaultCA(file, why string) ([]byte, error) {
	if file == "" {
		file = os.Getenv(vaultapi.EnvVaultCACert)
	}
	if file == "" {
		return nil, usage.Errorf("--vault-ca is needed: what Vault's certificate is signed by, %s", why)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("vault's certificate authority: %w", err)
	}
	return raw, nil
}

// clusterUID is what pins a cluster's name to this very cluster.
func clusterUID(ctx context.Context, config *rest.Config) (string, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	system, err := c.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("workload cluster: %w", err)
	}
	return string(system.UID), nil
}

// both reaches the hub, for what it publishes, and Vault.
func both(command *cobra.Command, hub *access.Hub) (info map[string]string, root *vaultapi.Client, err error) {
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return nil, nil, err
	}
	if info, err = access.Published(command.Context(), c); err != nil {
		return nil, nil, err
	}
	root, err = connect()
	return info, root, err
}

// foretell says what the steps of a plan would do.
func foretell(says io.Writer, steps []vault.Step) {
	for _, step := range steps {
		fmt.Fprintf(says, "would %s\n", step.Says)
	}
	fmt.Fprintf(says, "nothing was done: leave --dry-run away\n")
}

// connect reaches Vault as the environment says.
func connect() (*vaultapi.Client, error) {
	config := vaultapi.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("vault: %w", config.Error)
	}
	if os.Getenv(vaultapi.EnvVaultAddress) == "" {
		return nil, fmt.Errorf("which Vault? Set %s, and %s", vaultapi.EnvVaultAddress, vaultapi.EnvVaultToken)
	}
	config.MaxRetries = 0
	root, err := vaultapi.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if root.Token() == "" {
		home, _ := os.UserHomeDir()
		raw, _ := os.ReadFile(filepath.Join(home, ".vault-token"))
		root.SetToken(strings.TrimSpace(string(raw)))
	}
	if root.Token() == "" {
		return nil, fmt.Errorf("vault: no token: set %s, or vault login", vaultapi.EnvVaultToken)
	}
	return root, nil
}

// workloadConfig has the CA's bytes, which Vault is given.
func workloadConfig(path string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	if len(config.CAData) == 0 {
		return nil, errors.New("kubeconfig of the workload cluster: it names no certificate authority, which Vault needs")
	}
	return config, nil
}

// token is of Vault's own account in the workload cluster, which deploy/spoke makes and fences.
func (o setup) token(ctx context.Context, config *rest.Config) (string, time.Time, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	seconds := int64(o.life.Seconds())
	made, err := c.CoreV1().ServiceAccounts(deployspoke.SystemNamespace).CreateToken(ctx, deployspoke.VaultAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		return "", time.Time{}, noAccount()
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("workload cluster: %w", err)
	}
	return made.Status.Token, made.Status.ExpirationTimestamp.Time, nil
}
