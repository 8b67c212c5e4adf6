package vault

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// gatewayLogin is the hub's login by certificate, and the policy that it gives. No cluster's name has a dot.
const gatewayLogin = "writ.gateway"

// MakeGatewayKey makes the gateway's key in Vault, with the token of an administrator, or its next version if next is true. It returns
// the public half of the newest version. A key that is there is left as it is.
func MakeGatewayKey(ctx context.Context, root *api.Client, key TransitKey, next bool) (public ed25519.PublicKey, number int64, err error) {
	p := planner{root: root}
	if err := p.look(ctx); err != nil {
		return nil, 0, explain("looking at what is mounted", err)
	}
	if p.mounts[key.mount+"/"] == nil {
		err := unless(root.Sys().MountWithContext(ctx, key.mount, &api.MountInput{Type: "transit"}), taken)
		if err != nil {
			return nil, 0, explain("mounting the Transit engine at "+key.mount+"/", err)
		}
	}
	read := func() (*api.Secret, error) {
		secret, err := root.Logical().ReadWithContext(ctx, key.path("keys"))
		return secret, explain("reading the key "+key.String(), err)
	}
	secret, err := read()
	if err != nil {
		return nil, 0, err
	}
	path := key.path("keys")
	switch {
	case secret == nil:
		_, err = root.Logical().WriteWithContext(ctx, path, map[string]any{"type": "ed25519"})
	case next:
		if _, err := key.versions(secret); err != nil { // not a version more of what the hub would not take
			return nil, 0, err
		}
		_, err = root.Logical().WriteWithContext(ctx, path+"/rotate", nil)
	}
	if err != nil {
		return nil, 0, explain("making the key "+key.String(), err)
	}
	if secret, err = read(); err != nil {
		return nil, 0, err
	}
	versions, err := key.versions(secret)
	if err != nil {
		return nil, 0, err
	}
	return versions[0].public, versions[0].number, nil
}

// GatewayPlan is how the hub of a trust domain, by its SVID, is let sign by a key, with the token of an administrator: this, reading the
// public half, and nothing else. Taking the steps again renews the authorities (PEM) by which Vault knows the hub.
func GatewayPlan(ctx context.Context, root *api.Client, key TransitKey, trustDomain string, authorities []byte) ([]Step, error) {
	domain, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, fmt.Errorf("vault gateway: %w", err)
	}
	id, err := spiffeid.FromSegments(domain, "hub")
	if err != nil {
		return nil, fmt.Errorf("vault gateway: %w", err)
	}
	p := planner{root: root}
	if err := p.look(ctx); err != nil {
		return nil, fmt.Errorf("vault gateway: %w", explain("looking at what is mounted", err))
	}
	p.enable("cert", "cert")
	p.write("let the hub sign by "+key.String()+": the policy "+gatewayLogin, "sys/policies/acl/"+gatewayLogin, map[string]any{"policy": gatewayPolicy(key)})
	p.write("let "+id.String()+" log in at cert/"+gatewayLogin, "auth/cert/certs/"+gatewayLogin, map[string]any{"certificate": string(authorities),
		"allowed_uri_sans": id.String(), "token_policies": gatewayLogin, "token_no_default_policy": true, "token_ttl": tokenLife, "token_max_ttl": tokenLife})
	return p.steps, nil
}

// gatewayPolicy lets the hub sign by one key, and read its public half.
func gatewayPolicy(key TransitKey) string {
	return fmt.Sprintf(`path "%s" {
  capabilities = ["update"]
}
path "%s" {
  capabilities = ["read"]
}
`, key.path("sign"), key.path("keys"))
}
