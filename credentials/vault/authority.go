package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/internal/identity"
)

const (
	// HubAudience is what the hub's ServiceAccount token for Vault is for.
	HubAudience = "writ-vault"
	// HubSubject is who the hub is on its own cluster.
	HubSubject = "system:serviceaccount:writ-system:writ-hub"
	// hubAuth is where Vault takes that token; authorityLogin is the login there, and the policy that it gives.
	hubAuth        = "writ-hub"
	authorityLogin = "writ.authority"
	// authorityLife is of an authority that Vault makes, and backdated how far before its making it begins, as an SVID does.
	authorityLife = "43800h"
	backdated     = "60s"
)

// AuthorityOptions says what Vault must know to sign SVIDs for a hub.
type AuthorityOptions struct {
	Mount       string
	TrustDomain string
	// Life is the longest life of a spoke's SVID; the others live identity.Life at most.
	Life time.Duration
	// Issuer and Keys (PEM) are of the tokens of the hub's cluster.
	Issuer string
	Keys   []string
	// Next has another authority made, where there is one.
	Next bool
}

// signer is one kind of SVID, and the role by which Vault signs it.
type signer struct {
	role string
	ids  string // a pattern
	name string // its DNS name
	life time.Duration
	data map[string]any
}

const (
	hubRole      = "writ-hub"
	clusterRole  = "writ-cluster"
	operatorRole = "writ-operator"
)

// signingRole is the role that a template is for.
func signingRole(template *x509.Certificate) (string, error) {
	if len(template.URIs) == 1 {
		switch path := template.URIs[0].Path; {
		case path == "/hub":
			return hubRole, nil
		case strings.HasPrefix(path, "/cluster/"):
			return clusterRole, nil
		case strings.HasPrefix(path, "/operator/"):
			return operatorRole, nil
		}
	}
	return "", fmt.Errorf("vault signs for hub, clusters and operators, not for %v", template.URIs)
}

func signers(td spiffeid.TrustDomain, life time.Duration) []signer {
	of := func(role, path, name string, life time.Duration, also map[string]any) signer {
		s := signer{role: role, ids: td.IDString() + path, name: name, life: life}
		s.data = map[string]any{
			"allowed_uri_sans": s.ids, "max_ttl": seconds(life), "ttl": seconds(life), "not_before_duration": backdated,
			"key_type": "any", "key_usage": "DigitalSignature", "client_flag": true, "server_flag": true, "code_signing_flag": false, "email_protection_flag": false,
			"basic_constraints_valid_for_non_ca": true, "use_csr_common_name": false, "use_csr_sans": false, "serial_number_source": "json",
			"require_cn": false, "cn_validations": "disabled", "allow_ip_sans": false, "allow_localhost": false, "allow_wildcard_certificates": false,
			"allow_any_name": false, "no_store": true, "generate_lease": false,
		}
		for key, value := range also {
			s.data[key] = value
		}
		return s
	}
	return []signer{
		of(hubRole, "/hub", identity.HubName(td), identity.Life, map[string]any{"allowed_domains": identity.HubName(td), "allow_bare_domains": true}),
		of(clusterRole, "/cluster/*", "", life, map[string]any{"allowed_serial_numbers": "*"}),
		of(operatorRole, "/operator/*", "", identity.Life, map[string]any{"server_flag": false}),
	}
}

// policyText lets the hub have its SVIDs signed by whichever issuer of the mount, and see which there are. What it may say of one is
// fixed here beside the role: an end of its own choice, which no role bounds, cannot be said.
func policyText(mount string, all []signer) string {
	var text strings.Builder
	fmt.Fprintf(&text, "path \"%[1]s/issuers\" {\n  capabilities = [\"list\"]\n}\npath \"%[1]s/issuer/+/json\" {\n  capabilities = [\"read\"]\n}\n", mount)
	for _, s := range all {
		names := ""
		if s.name != "" {
			names = fmt.Sprintf("\n    \"alt_names\"            = [%q]", s.name)
		}
		fmt.Fprintf(&text, `path "%s/issuer/+/sign/%s" {
  capabilities        = ["update"]
  required_parameters = ["csr", "uri_sans", "ttl", "exclude_cn_from_sans"]
  allowed_parameters = {
    "csr"                  = []
    "uri_sans"             = [%q]
    "ttl"                  = []
    "exclude_cn_from_sans" = ["true"]
    "common_name"          = []
    "serial_number"        = []%s
  }
}
`, mount, s.role, s.ids, names)
	}
	return text.String()
}

// AuthorityPlan is how Vault is made the keeper of a hub's CA, with the token of an administrator. Taking the steps again changes
// nothing, but for what the options say anew.
func AuthorityPlan(ctx context.Context, root *api.Client, o AuthorityOptions) ([]Step, error) {
	td, err := spiffeid.TrustDomainFromString(o.TrustDomain)
	if err == nil {
		o.Mount, err = ParseMount(o.Mount)
	}
	if err != nil {
		return nil, fmt.Errorf("vault authority: %w", err)
	}
	p := planner{root: root}
	if err := p.look(ctx); err != nil {
		return nil, fmt.Errorf("vault authority: %w", explain("looking at what is mounted", err))
	}
	has := map[string]*x509.Certificate{}
	switch mount := p.mounts[o.Mount+"/"]; {
	case mount == nil:
		p.add("mount the PKI engine at "+o.Mount+"/", func(ctx context.Context) error {
			return unless(root.Sys().MountWithContext(ctx, o.Mount, &api.MountInput{Type: "pki", Description: "Writ: the authority that signs the SVIDs of " + td.Name(),
				Config: api.MountConfigInput{MaxLeaseTTL: authorityLife}}), taken)
		})
	case mount.Type != "pki":
		return nil, fmt.Errorf("vault authority: %s/ is an engine of the kind %s: choose another --mount", o.Mount, mount.Type)
	default:
		if has, err = issuersOf(ctx, root, o.Mount); err != nil {
			return nil, fmt.Errorf("vault authority: %w", explain("reading the authorities of "+o.Mount, err))
		}
	}
	all := signers(td, o.Life)
	for _, s := range all {
		p.write("let SVIDs of "+s.ids+" be signed, for at most "+s.life.String()+": the role "+s.role, o.Mount+"/roles/"+s.role, s.data)
	}
	p.write("let the hub have them signed: the policy "+authorityLogin, "sys/policies/acl/"+authorityLogin, map[string]any{"policy": policyText(o.Mount, all)})
	p.enable(hubAuth, "jwt")
	p.write("know the tokens of the hub's cluster, which "+o.Issuer+" issues", "auth/"+hubAuth+"/config", map[string]any{"jwt_validation_pubkeys": o.Keys,
		"bound_issuer": o.Issuer, "jwt_supported_algs": "RS256,ES256,ES384,ES512"})
	p.write("let "+HubSubject+" log in at "+hubAuth+"/"+authorityLogin, "auth/"+hubAuth+"/role/"+authorityLogin, map[string]any{"role_type": "jwt",
		"bound_audiences": HubAudience, "bound_subject": HubSubject, "user_claim": "sub",
		"token_policies": authorityLogin, "token_no_default_policy": true, "token_ttl": tokenLife, "token_max_ttl": tokenLife})
	if newest := newestOf(has, td); newest == nil || o.Next {
		p.add("make an authority of "+td.IDString()+", whose key stays in "+o.Mount+"/", func(ctx context.Context) error { return makeIssuer(ctx, root, o.Mount, td, newest) })
	}
	return p.steps, nil
}

// newestOf is the newest authority of a trust domain; nil where there is none.
func newestOf(issuers map[string]*x509.Certificate, td spiffeid.TrustDomain) (newest *x509.Certificate) {
	for _, cert := range issuers {
		if authorityOf(cert, td) && (newest == nil || cert.NotBefore.After(newest.NotBefore)) {
			newest = cert
		}
	}
	return newest
}

func authorityOf(cert *x509.Certificate, td spiffeid.TrustDomain) bool {
	return cert.IsCA && len(cert.URIs) == 1 && cert.URIs[0].String() == td.IDString()
}

// makeIssuer makes an authority with the names that one of the hub's own would have. One that is not what was asked for does not stay.
func makeIssuer(ctx context.Context, root *api.Client, mount string, td spiffeid.TrustDomain, before *x509.Certificate) error {
	secret, err := root.Logical().WriteWithContext(ctx, mount+"/issuers/generate/root/internal", map[string]any{"common_name": "writ " + td.Name(),
		"uri_sans": td.IDString(), "exclude_cn_from_sans": true, "key_type": "ec", "key_bits": 256, "ttl": authorityLife, "not_before_duration": backdated,
		"max_path_length": 0, "permitted_dns_domains": identity.HubName(td), "permitted_uri_domains": td.Name()})
	if err != nil {
		return err
	}
	cert, err := certificateOf(secret)
	if err != nil {
		return err
	}
	id, _ := secret.Data["issuer_id"].(string)
	switch {
	case !authorityOf(cert, td), !slices.Equal(cert.PermittedURIDomains, []string{td.Name()}), !cert.MaxPathLenZero:
		err = errors.New("this Vault does not bind an authority to its trust domain (permitted_uri_domains): use one of version 1.19 or later")
	case before != nil && !cert.NotBefore.After(before.NotBefore):
		err = errors.New("the authority before was made a moment ago: say it again")
	default:
		_, err = root.Logical().JSONMergePatch(ctx, mount+"/issuer/"+id, map[string]any{"leaf_not_after_behavior": "truncate"})
	}
	if err != nil {
		return errors.Join(err, endIssuer(ctx, root, mount, id))
	}
	return nil
}

// endIssuer takes an issuer and its key away, for good.
func endIssuer(ctx context.Context, root *api.Client, mount, id string) error {
	secret, err := root.Logical().ReadWithContext(ctx, mount+"/issuer/"+id)
	if err != nil {
		return err
	}
	if secret == nil {
		return nil
	}
	if _, err := root.Logical().DeleteWithContext(ctx, mount+"/issuer/"+id); err != nil {
		return err
	}
	key, _ := secret.Data["key_id"].(string)
	if key == "" {
		return nil
	}
	_, err = root.Logical().DeleteWithContext(ctx, mount+"/key/"+key)
	return err
}

// EndAuthorities takes those authorities away, with their keys, that are older than all that the hub publishes (PEM). It returns how many.
func EndAuthorities(ctx context.Context, root *api.Client, mount string, published []byte) (ended int, err error) {
	present, err := identity.ParseAuthorities(published)
	if err != nil {
		return 0, fmt.Errorf("vault authority: what the hub publishes: %w", err)
	}
	has, err := issuersOf(ctx, root, mount)
	if err != nil {
		return 0, fmt.Errorf("vault authority: %w", explain("reading the authorities of "+mount, err))
	}
	ids, known := older(has, present)
	if !known {
		return 0, fmt.Errorf("vault authority: %s has none of the authorities that the hub publishes, so nothing was ended", mount)
	}
	for _, id := range ids {
		if err := endIssuer(ctx, root, mount, id); err != nil {
			return ended, fmt.Errorf("vault authority: %w", explain("ending an authority of "+mount, err))
		}
		ended++
	}
	return ended, nil
}

// older are the issuers that are authorities of the trust domain, and older than all that are present. known is false where none of those is
// among the issuers: then there is none.
func older(issuers map[string]*x509.Certificate, present *identity.Authorities) (ids []string, known bool) {
	var oldest time.Time
	for _, cert := range issuers {
		if present.Has(cert) && (!known || cert.NotBefore.Before(oldest)) {
			known, oldest = true, cert.NotBefore
		}
	}
	for id, cert := range issuers {
		if known && authorityOf(cert, present.TrustDomain()) && cert.NotBefore.Before(oldest) {
			ids = append(ids, id)
		}
	}
	return ids, known
}
