package vault

import (
	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/credentials/vault"
)

func newAuthentication(hub *access.Hub) *cobra.Command {
	var caFile string
	command := &cobra.Command{
		Use: "authentication CLUSTER", Short: "Print what a cluster's API server needs to take Vault's word for its actions",
		Long: "Print the AuthenticationConfiguration by which a cluster's API server takes what Vault vouches for: tokens of a minute, for this very\n" +
			"cluster, of the accounts of actions, and nobody else. The API server reads it from the file of its flag --authentication-config, and\n" +
			"again when it changes; it must reach Vault. What is in that file already stays: add the entry under jwt to it.\n\n" +
			"The cluster is set up by writ vault setup --oidc.\n\n" + reached,
		Example: "  writ vault authentication east > authentication.yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cluster.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			info, root, err := both(command, hub)
			if err != nil {
				return err
			}
			ca, err := vaultCA(caFile, "for the API server to reach Vault")
			if err != nil {
				return err
			}
			config, err := vault.Authentication(command.Context(), root, info["trustDomain"], args[0], ca)
			if err != nil {
				return err
			}
			_, err = command.OutOrStdout().Write(config)
			return err
		},
	}
	command.Flags().StringVar(&caFile, "vault-ca", "", "PEM: what Vault's certificate is signed by (default: VAULT_CACERT)")
	_ = command.MarkFlagFilename("vault-ca")
	return command
}
