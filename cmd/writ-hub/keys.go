package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/identity"
)

// vaultConfig is how the hub reaches Vault, where it shows its own SVID.
type vaultConfig struct {
	Address string `json:"address,omitempty"` // https://host:port
	CAFile  string `json:"caFile,omitempty"`  // PEM: what Vault's certificate is signed by
}

// checkGateway checks that there is one place for the gateway's key, and what that place needs.
func (c config) checkGateway() error {
	switch {
	case c.GatewayKey == "" && c.GatewayTransit == "":
		return errors.New("gatewayKey is not set, nor gatewayTransit: the gateway's key is a file, or a key of Vault's Transit engine")
	case c.GatewayKey != "" && c.GatewayTransit != "":
		return errors.New("gatewayKey and gatewayTransit are both set: the gateway's key is in one place")
	case c.GatewayTransit == "" && c.Vault != vaultConfig{}:
		return errors.New("vault is set, but gatewayTransit is not: nothing else of the hub needs Vault")
	case c.GatewayTransit == "":
		return nil
	}
	if _, err := vault.ParseTransitKey(c.GatewayTransit); err != nil {
		return fmt.Errorf("gatewayTransit: %w", err)
	}
	if at, err := url.Parse(c.Vault.Address); err != nil || at.Scheme != "https" || at.Host == "" {
		return fmt.Errorf("vault.address is %q: say https://HOST:PORT, which gatewayTransit needs", c.Vault.Address)
	}
	if c.Vault.CAFile == "" {
		return errors.New("vault.caFile is not set, which gatewayTransit needs: what Vault's certificate is signed by")
	}
	return nil
}

// gatewayKeys is where the gateway's key is.
func (c config) gatewayKeys(source *identity.Source) (rotation.Keys, error) {
	if c.GatewayTransit == "" {
		return rotation.KeyFile(c.GatewayKey), nil
	}
	key, err := vault.ParseTransitKey(c.GatewayTransit)
	if err != nil {
		return nil, fmt.Errorf("gatewayTransit: %w", err)
	}
	return vault.NewGateway(vault.Options{Address: c.Vault.Address, CAFile: c.Vault.CAFile, Certificate: source.ClientCertificate}, key)
}
