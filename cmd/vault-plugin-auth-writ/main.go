// Command vault-plugin-auth-writ is Writ's auth method for Vault (package credentials/vaultauth). Vault starts it; nobody else does.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"

	"github.com/writ-dev/writ/credentials/vaultauth"
)

func main() {
	meta := &api.PluginAPIClientMeta{}
	flags := meta.FlagSet()
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: vaultauth.Factory, TLSProviderFunc: api.VaultPluginTLSProvider(meta.GetTLSConfig())})
	if err != nil {
		hclog.New(&hclog.LoggerOptions{}).Error("the plugin ends", "error", err)
		os.Exit(1)
	}
}
