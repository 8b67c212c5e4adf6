package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/identity"
)

// vaultConfig is how the hub reaches Vault.
type vaultConfig struct {
	Address string `json:"address,omitempty"` // https://host:port
	CAFile  string `json:"caFile,omitempty"`  // PEM: what Vault's certificate is signed by
	// TokenFile is what the hub shows for its CA: a token of its ServiceAccount for the audience writ-vault. It is read at each login.
	TokenFile string `json:"tokenFile,omitempty"`
}

// checkGateway checks that there is one place for the gateway's key.
func (c config) checkGateway() error {
	switch {
	case c.GatewayKey == "" && c.GatewayTransit == "":
		return errors.New("gatewayKey is not set, nor gatewayTransit: the gateway's key is a file, or a key of Vault's Transit engine")
	case c.GatewayKey != "" && c.GatewayTransit != "":
		return errors.New("gatewayKey and gatewayTransit are both set: the gateway's key is in one place")
	case c.GatewayTransit == "":
		return nil
	}
	if _, err := vault.ParseTransitKey(c.GatewayTransit); err != nil {
		return fmt.Errorf("gatewayTransit: %w", err)
	}
	return nil
}

// checkVault checks what the keys that are in Vault need.
func (c config) checkVault() error {
	if c.CAPKI != "" {
		if _, err := vault.ParseMount(c.CAPKI); err != nil {
			return fmt.Errorf("caPKI: %w", err)
		}
	}
	needs := "gatewayTransit"
	if c.GatewayTransit == "" {
		needs = "caPKI"
	}
	at, err := url.Parse(c.Vault.Address)
	switch {
	case c.GatewayTransit == "" && c.CAPKI == "":
		if c.Vault != (vaultConfig{}) {
			return errors.New("vault is set, but neither gatewayTransit nor caPKI is: nothing else of the hub needs Vault")
		}
	case err != nil || at.Scheme != "https" || at.Host == "":
		return fmt.Errorf("vault.address is %q: say https://HOST:PORT, which %s needs", c.Vault.Address, needs)
	case c.Vault.CAFile == "":
		return fmt.Errorf("vault.caFile is not set, which %s needs: what Vault's certificate is signed by", needs)
	case (c.CAPKI == "") != (c.Vault.TokenFile == ""):
		return errors.New("vault.tokenFile and caPKI go together: the file has a token of the hub's ServiceAccount for the audience writ-vault")
	}
	return nil
}

// openCA opens the CA, whose keys are in the data folder or in Vault.
func (c config) openCA(ctx context.Context, td spiffeid.TrustDomain, now time.Time) (*identity.CA, error) {
	if c.CAPKI == "" {
		return identity.LoadCA(c.dir("ca"), td, now)
	}
	keeper, err := vault.NewAuthority(vault.Options{Address: c.Vault.Address, CAFile: c.Vault.CAFile}, c.CAPKI, c.Vault.TokenFile)
	if err != nil {
		return nil, err
	}
	return identity.OpenCA(ctx, c.dir("ca"), td, keeper, now)
}

// hubIdentity is the hub's own SVID, and how to make the next. Where the CA's key is in Vault, the SVID is kept on disk for a start
// without Vault, as long as it lives; a hub without any starts, and is joined by nobody until it has one.
func (c config) hubIdentity(ctx context.Context, ca *identity.CA, log *slog.Logger) (*identity.Source, identity.Renew, error) {
	renew, file := identity.RenewHub(ca, time.Now), c.dir("ca/hub.pem")
	if c.CAPKI != "" {
		fresh := renew
		renew = func(ctx context.Context) (*identity.SVID, *identity.Authorities, error) {
			svid, authorities, err := fresh(ctx)
			if err == nil {
				err = svid.Save(file)
			}
			return svid, authorities, err
		}
	}
	svid, authorities, err := renew(ctx)
	if errors.Is(err, identity.ErrAway) {
		log.ErrorContext(ctx, "the hub has no new SVID, will try again", "error", err)
		svid, err = identity.LoadSVID(file)
		if err != nil || time.Now().After(svid.Leaf().NotAfter) || !ca.Authorities().Vouch(svid.Leaf()) {
			log.ErrorContext(ctx, "no spoke can reach the hub until it has an SVID", "former", err)
			svid, err = nil, nil
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return identity.NewSource(svid, authorities), renew, nil
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
