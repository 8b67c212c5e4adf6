package vault

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// Authentication is the AuthenticationConfiguration (Kubernetes' apiserver.config.k8s.io/v1) by which a cluster's API server takes what
// Vault vouches for: tokens of a minute, for this very cluster, of accounts of actions, and nobody else. What it has in force besides,
// such as who is anonymous, is the cluster's admin's to add. ca is PEM: what Vault's certificate is signed by.
func Authentication(ctx context.Context, root *api.Client, trustDomain, cluster string, ca []byte) ([]byte, error) {
	audience, err := identityOf(SetupOptions{TrustDomain: trustDomain, Cluster: cluster})
	if err != nil {
		return nil, fmt.Errorf("vault authentication: %w", err)
	}
	issuer, err := issuerOf(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("vault authentication: %w", err)
	}
	group := "system:serviceaccounts:" + tokenrequest.Namespace
	account := "system:serviceaccount:" + tokenrequest.Namespace + ":"
	type object = map[string]any
	rule := func(expression, message string) object {
		return object{"expression": expression, "message": message}
	}
	return yaml.Marshal(object{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": []object{{
		"issuer": object{"url": issuer, "certificateAuthority": string(ca), "audiences": []string{audience}},
		"claimValidationRules": []object{
			rule("claims.exp - claims.iat <= "+strings.TrimSuffix(IdentityLife, "s"), "a token of an action lives a minute"),
			rule(`has(claims.`+Claim+`) && type(claims.`+Claim+`) == string`, "it says which account the action is"),
		},
		"claimMappings": object{
			"username": object{"expression": fmt.Sprintf("%q + claims.%s", account, Claim)},
			"groups":   object{"expression": fmt.Sprintf("[%q]", group)},
		},
		"userValidationRules": []object{
			rule(fmt.Sprintf(`user.username.matches("^%s[0-9a-f]{16}[.][a-z0-9-]+[.][a-z]+[.].+$")`, account), "Vault vouches for accounts of actions alone"),
		},
	}}})
}

// issuerOf is what Vault's identity tokens name as their issuer: where the API server looks for the keys.
func issuerOf(ctx context.Context, root *api.Client) (string, error) {
	const path = OIDCEngine + "/.well-known/openid-configuration"
	answer, err := root.Logical().ReadRawWithContext(ctx, path)
	if err != nil {
		return "", explain("reading "+path, err)
	}
	defer answer.Body.Close()
	var said struct {
		Issuer string `json:"issuer"`
	}
	if err := answer.DecodeJSON(&said); err != nil {
		return "", explain("reading "+path, err)
	}
	if !strings.HasPrefix(said.Issuer, "https://") {
		return "", fmt.Errorf("vault's identity tokens name %q as their issuer, which no API server takes: set Vault's api_addr, or the issuer at %s/config, to https://…", said.Issuer, OIDCEngine)
	}
	return said.Issuer, nil
}
