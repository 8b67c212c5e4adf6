package vault

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/identity"
)

// theMount is of the PKI engine, unless the command says another.
const theMount = "writ-ca"

// keeping is what the flags of "writ vault authority" say.
type keeping struct {
	vault.AuthorityOptions
	endOld, dryRun bool
}

func newAuthority(hub *access.Hub) *cobra.Command {
	var o keeping
	command := &cobra.Command{
		Use: "authority", Short: "Keep the key of the hub's CA in Vault, and let the hub have SVIDs signed",
		Long: "Make the authority that signs SVIDs in a PKI engine of Vault's, whose key nobody gets out, and let the hub have SVIDs of its trust domain\n" +
			"signed there, and nothing else. The hub logs in by the token of its ServiceAccount, whose keys Vault is told of: say this again when the\n" +
			"API server of the hub's cluster has others. Say it the first time before the hub starts, with --trust-domain.\n\n" +
			"With --next make the next authority too, for writ ca rotate. With --end-old take those away, with their keys, that are older than what\n" +
			"the hub publishes.\n\n" + reached,
		Example: "  writ vault authority --trust-domain example.org --dry-run\n  writ vault authority --next\n  writ vault authority --end-old",
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return o.run(command, hub) },
	}
	flags := command.Flags()
	flags.StringVar(&o.Mount, "mount", theMount, "the mount of the PKI engine, for Writ alone")
	flags.StringVar(&o.TrustDomain, "trust-domain", "", "the trust domain of the hub (default: what the hub publishes)")
	flags.DurationVar(&o.Life, "svid-life", identity.Life, "the longest life of a spoke's SVID, as the hub's svidLife")
	flags.BoolVar(&o.Next, "next", false, "make the next authority, if there is one")
	flags.BoolVar(&o.endOld, "end-old", false, "take away the authorities that are older than what the hub publishes, and do nothing else")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	return command
}

func (o keeping) run(command *cobra.Command, hub *access.Hub) error {
	ctx, says := command.Context(), command.OutOrStdout()
	switch {
	case o.endOld && (o.Next || o.dryRun):
		return usage.Errorf("--end-old goes with neither --next nor --dry-run")
	case o.Life < 2*time.Minute || o.Life > 24*time.Hour:
		return usage.Errorf("--svid-life is %s: it must be from 2m to 24h, as the hub's svidLife", o.Life)
	case o.endOld:
		return o.end(command, hub)
	}
	if o.TrustDomain == "" {
		info, _, err := both(command, hub)
		if err != nil {
			return fmt.Errorf("%w (before the hub has started, say --trust-domain)", err)
		}
		o.TrustDomain = info["trustDomain"]
	}
	root, err := connect()
	if err != nil {
		return err
	}
	config, err := hub.Config(command.ErrOrStderr())
	if err != nil {
		return err
	}
	if o.Issuer, o.Keys, err = issuerOf(ctx, config); err != nil {
		return err
	}
	steps, err := vault.AuthorityPlan(ctx, root, o.AuthorityOptions)
	if err != nil {
		return err
	}
	if o.dryRun {
		foretell(says, steps)
		return nil
	}
	if err := vault.Do(ctx, "the authority", steps); err != nil {
		return err
	}
	fmt.Fprintf(says, "the hub of %s may have SVIDs signed by %s, and nothing else\n", o.TrustDomain, o.Mount)
	if o.Next {
		fmt.Fprintln(says, "next: writ ca rotate")
	}
	return nil
}

func (o keeping) end(command *cobra.Command, hub *access.Hub) error {
	info, root, err := both(command, hub)
	if err != nil {
		return err
	}
	ended, err := vault.EndAuthorities(command.Context(), root, o.Mount, []byte(info["authorities.pem"]))
	if err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "%d authorities of %s ended, and their keys are gone\n", ended, o.Mount)
	return nil
}

// issuerOf is who issues the tokens of the hub's cluster, and the keys (PEM) that they are signed with.
func issuerOf(ctx context.Context, config *rest.Config) (issuer string, keys []string, err error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", nil, fmt.Errorf("kubeconfig of the hub: %w", err)
	}
	get := func(path string, into any) error {
		raw, err := c.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			return fmt.Errorf("the hub's cluster: %s: %w", path, err)
		}
		return nil
	}
	var said struct{ Issuer string }
	var set jose.JSONWebKeySet
	if err := errors.Join(get("/.well-known/openid-configuration", &said), get("/openid/v1/jwks", &set)); err != nil {
		return "", nil, err
	}
	for _, key := range set.Keys {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err != nil || !key.IsPublic() {
			return "", nil, fmt.Errorf("the hub's cluster: /openid/v1/jwks has a key that is no public key")
		}
		keys = append(keys, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	if said.Issuer == "" || len(keys) == 0 {
		return "", nil, errors.New("the hub's cluster does not say who issues its ServiceAccounts' tokens, or with which keys")
	}
	return said.Issuer, keys, nil
}
