package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/credentials/vault"
)

// theKey is the gateway's key unless the command says another.
const theKey = "transit/writ-gateway"

const keyHelp = "the key in Vault's Transit engine, MOUNT/NAME"

func newGatewayKey() *cobra.Command {
	var said string
	var next bool
	command := &cobra.Command{
		Use: "gateway-key FILE", Short: "Make the gateway's key in Vault, and write its public half",
		Long: "Make the gateway's key in Vault's Transit engine, unless it is there, and write its public half to FILE, which must not exist: for\n" +
			"writ trust init --gateway-public, or writ trust rotate-gateway --new-public. With --rotate make the next version of the key first;\n" +
			"the hub goes on with the old one until the trust root names the new. The key is made so that Vault gives it to nobody.\n\n" +
			reached,
		Example: "  writ vault gateway-key gateway.pem\n  writ vault gateway-key gateway-2.pem --rotate",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			key, err := vault.ParseTransitKey(said)
			if err != nil {
				return err
			}
			if _, err := os.Lstat(args[0]); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s exists: choose another file", args[0])
			}
			root, err := connect()
			if err != nil {
				return err
			}
			public, version, err := vault.MakeGatewayKey(command.Context(), root, key, next)
			if err != nil {
				return err
			}
			if err := trustfile.WritePublic(args[0], public); err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "%s: the public half of version %d of %s\n", args[0], version, key)
			return nil
		},
	}
	command.Flags().StringVar(&said, "key", theKey, keyHelp)
	command.Flags().BoolVar(&next, "rotate", false, "make the next version of the key")
	return command
}

func newGateway(hub *access.Hub) *cobra.Command {
	var said string
	var dryRun bool
	command := &cobra.Command{
		Use: "gateway", Short: "Let the hub sign by the gateway's key in Vault",
		Long: "Let the hub log in to Vault by its SVID, and sign by one key of Vault's Transit engine: that, and reading its public half, is all it\n" +
			"may do. Do it again when the hub's CA was renewed.\n\n" +
			reached,
		Example: "  writ vault gateway --dry-run\n  writ vault gateway",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, says := command.Context(), command.OutOrStdout()
			key, err := vault.ParseTransitKey(said)
			if err != nil {
				return err
			}
			info, root, err := both(command, hub)
			if err != nil {
				return err
			}
			steps, err := vault.GatewayPlan(ctx, root, key, info["trustDomain"], []byte(info["authorities.pem"]))
			if err != nil {
				return err
			}
			if dryRun {
				foretell(says, steps)
				return nil
			}
			if err := vault.Do(ctx, "the gateway", steps); err != nil {
				return err
			}
			fmt.Fprintf(says, "the hub of %s may sign by %s, and nothing else\n", info["trustDomain"], key)
			return nil
		},
	}
	command.Flags().StringVar(&said, "key", theKey, keyHelp)
	command.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return command
}
