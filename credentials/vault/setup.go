package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// tokenLife is of a spoke's own Vault token, where it logs in by its certificate. What the token has leased ends with it.
	tokenLife = "30m"
	// longest is of any credential of a cluster's mount, whatever a spoke asks for.
	longest = "1h"
)

// SetupOptions says what Vault must know of a cluster.
type SetupOptions struct {
	Cluster     string // a DNS label
	TrustDomain string
	Authorities []byte // PEM: what SVIDs are signed by
	// KubernetesHost and KubernetesCA are the workload cluster's API server; ServiceAccountToken is of Vault's own account there.
	KubernetesHost      string
	KubernetesCA        []byte
	ServiceAccountToken string
	TokenEnds           time.Time // zero where that is not known

	// TrustRoots are versions of the trust root (TUF root metadata), each following the one before, and ClusterUID the UID of the cluster's
	// namespace kube-system: what Vault judges bundles by. Where it has a version already, it takes those alone that follow it.
	TrustRoots [][]byte
	ClusterUID string
	// Address and CA (PEM) are how Vault's own nodes reach Vault; ServerName is the name in its certificate, if it is another.
	Address    string
	CA         []byte
	ServerName string
	// LoweredTo is the tier to which the cluster's own policy may lower what content demands: low, medium, or empty for not at all.
	LoweredTo string

	// OIDC is for a cluster whose API server Vault cannot reach: Vault vouches for its actions by identity tokens.
	OIDC bool
	// Stock is for a Vault without Writ's auth method; BoundCIDRs are then where alone a spoke's token may be used from, empty for
	// anywhere.
	Stock      bool
	BoundCIDRs []string
}

// Step is one thing that a set-up does.
type Step struct {
	Says string // for people; no secret
	do   func(context.Context) error
}

// Setup gives a cluster its own mount, policies and login in Vault, with the token of an administrator. Doing it again with the
// same options changes nothing; with others it replaces what was.
func Setup(ctx context.Context, root *api.Client, o SetupOptions) error {
	steps, err := Plan(ctx, root, o)
	if err != nil {
		return err
	}
	return Do(ctx, o.Cluster, steps)
}

// Do takes the steps of a plan, and stops at the first that fails. Doing all of them again is no error.
func Do(ctx context.Context, cluster string, steps []Step) error {
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("vault setup of %s: %w", cluster, explain(s.Says, err))
		}
	}
	return nil
}

// Plan is what Setup would do now. It changes nothing.
func Plan(ctx context.Context, root *api.Client, o SetupOptions) ([]Step, error) {
	id, err := identityOf(o)
	if err != nil {
		return nil, fmt.Errorf("vault setup: %w", err)
	}
	p := planner{root: root}
	if err := p.look(ctx); err != nil {
		return nil, fmt.Errorf("vault setup of %s: %w", o.Cluster, explain("looking at what is mounted", err))
	}
	switch {
	case o.OIDC:
		p.judged(o, map[string]any{"audience": id}, oidcHandsPolicy(o.Cluster, id))
		p.oidc(o, id)
	case o.Stock:
		p.mount(o)
		p.stock(o, id)
	default:
		p.mount(o)
		p.judged(o, map[string]any{"mount": Mount(o.Cluster)}, handsPolicy(o.Cluster))
	}
	return p.steps, nil
}

// mount gives the cluster its own engine, which Vault issues by, and takes away what Vault vouched by.
func (p *planner) mount(o SetupOptions) {
	mount := Mount(o.Cluster)
	if p.mounts[mount+"/"] == nil {
		p.add("mount the Kubernetes engine at "+mount+"/", func(ctx context.Context) error {
			return unless(p.root.Sys().MountWithContext(ctx, mount, &api.MountInput{Type: "kubernetes"}), taken)
		})
	}
	p.point(o)
	p.add("take away the key "+OIDCKey(o.Cluster)+" of identity tokens, if any", func(ctx context.Context) error { return vouchNoMore(ctx, p.root, o.Cluster) })
}

// described is the description of a cluster's mount. The engine does not tell anybody the token, nor its end.
func described(o SetupOptions) string {
	says := "Writ: the credentials of cluster " + o.Cluster
	if !o.TokenEnds.IsZero() {
		says += untilEnd + o.TokenEnds.UTC().Format(time.RFC3339)
	}
	return says
}

const untilEnd = "; Vault's token there ends "

// planner gathers steps.
type planner struct {
	root   *api.Client
	mounts map[string]*api.MountOutput
	auths  map[string]*api.MountOutput
	steps  []Step
}

func (p *planner) look(ctx context.Context) (err error) {
	if p.mounts, err = p.root.Sys().ListMountsWithContext(ctx); err == nil {
		p.auths, err = p.root.Sys().ListAuthWithContext(ctx)
	}
	return err
}

func (p *planner) add(says string, do func(context.Context) error) {
	p.steps = append(p.steps, Step{says, do})
}

func (p *planner) write(says, path string, data map[string]any) {
	p.add(says, func(ctx context.Context) error {
		_, err := p.root.Logical().WriteWithContext(ctx, path, data)
		return err
	})
}

func (p *planner) remove(says, path string) {
	p.add(says, func(ctx context.Context) error {
		_, err := p.root.Logical().DeleteWithContext(ctx, path)
		return unless(err, absent)
	})
}

func (p *planner) enable(path, kind string) {
	if p.auths[path+"/"] != nil {
		return
	}
	p.add("enable the auth method "+kind+" at "+path+"/", func(ctx context.Context) error {
		err := unless(p.root.Sys().EnableAuthWithOptionsWithContext(ctx, path, &api.EnableAuthOptions{Type: kind}), taken)
		if err != nil && kind == AuthPlugin {
			return fmt.Errorf("%w: is the plugin in Vault's catalogue? See docs/vault.md, or set up with --stock", err)
		}
		return err
	})
}

// judged has Vault judge each bundle itself. The login of a spoke by its certificate alone is taken away: it would be a way around.
// issues is what the auth method is to know of how the cluster's credentials are issued, and hands what it may do for that.
func (p *planner) judged(o SetupOptions, issues map[string]any, hands string) {
	p.enable(AuthMount, AuthPlugin)
	p.write("let the auth method make roles and grants of "+o.Cluster+": the policy "+HandsPolicy(o.Cluster), "sys/policies/acl/"+HandsPolicy(o.Cluster),
		map[string]any{"policy": hands})
	var roots []string
	for _, raw := range o.TrustRoots {
		roots = append(roots, string(raw))
	}
	p.write("tell the auth method whom to believe: the trust root, the authorities of "+o.TrustDomain+", and Vault at "+o.Address, AuthPath+"config",
		map[string]any{"trust_root": roots, "trust_domain": o.TrustDomain, "authorities": string(o.Authorities),
			"vault_address": o.Address, "vault_ca": string(o.CA), "vault_server_name": o.ServerName})
	pin := map[string]any{"cluster_uid": o.ClusterUID, "lowered_to": o.LoweredTo}
	maps.Copy(pin, issues)
	p.write("pin the cluster "+o.Cluster+" to its UID "+o.ClusterUID, AuthPath+"clusters/"+o.Cluster, pin)
	p.remove("take away the policy "+loginName(o.Cluster)+" of a login by certificate, if any", "sys/policies/acl/"+loginName(o.Cluster))
	if p.auths["cert/"] != nil {
		p.remove("take away the login cert/"+loginName(o.Cluster)+", if any", "auth/cert/certs/"+loginName(o.Cluster))
	}
}

// stock has a spoke log in by its certificate alone.
func (p *planner) stock(o SetupOptions, id string) {
	login := loginName(o.Cluster)
	p.enable("cert", "cert")
	p.write("let a spoke make roles in "+Mount(o.Cluster)+"/: the policy "+login, "sys/policies/acl/"+login, map[string]any{"policy": policy(Mount(o.Cluster))})
	p.write("let "+id+" log in at cert/"+login, "auth/cert/certs/"+login, map[string]any{"certificate": string(o.Authorities), "allowed_uri_sans": id,
		"token_policies": login, "token_no_default_policy": true, "token_ttl": tokenLife, "token_max_ttl": tokenLife, "token_bound_cidrs": o.BoundCIDRs})
	if p.auths[AuthMount+"/"] != nil {
		p.remove("take away what the auth method knows of "+o.Cluster+", if anything", AuthPath+"clusters/"+o.Cluster)
	}
	p.remove("take away the policy "+HandsPolicy(o.Cluster)+", if any", "sys/policies/acl/"+HandsPolicy(o.Cluster))
}

// loginName is of a cluster's login by certificate, and of the policy that it gives.
func loginName(cluster string) string { return "writ-" + cluster }

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// identityOf is the one SPIFFE ID that may log in. Names are checked first: Vault would read a star in them as "any".
func identityOf(o SetupOptions) (string, error) {
	domain, err := spiffeid.TrustDomainFromString(o.TrustDomain)
	if err != nil {
		return "", err
	}
	if !label.MatchString(o.Cluster) {
		return "", fmt.Errorf("cluster name %q is not a DNS label", o.Cluster)
	}
	id, err := spiffeid.FromSegments(domain, "cluster", o.Cluster)
	return id.String(), err
}

// roleParameters are what may be said of a role. Parameters not among those allowed cannot be sent: no ClusterRole, no token of an
// account that exists, no binding beyond the namespace.
const roleParameters = `  allowed_parameters = {
    "allowed_kubernetes_namespaces" = []
    "kubernetes_role_type"          = ["Role"]
    "generated_role_rules"          = []
    "token_default_ttl"             = []
    "token_max_ttl"                 = []
    "extra_annotations"             = []
  }
`

// policy lets a spoke make roles of its bundles in its own mount, take a credential of each, and give it back.
func policy(mount string) string {
	return fmt.Sprintf(`path "%[1]s/roles/writ-*" {
  capabilities = ["create", "update", "delete"]
%[2]s}
path "%[1]s/creds/writ-*" {
  capabilities = ["create", "update"]
  allowed_parameters = { "kubernetes_namespace" = [], "ttl" = [] }
}
path "sys/leases/revoke" {
  capabilities = ["update"]
  allowed_parameters = { "lease_id" = ["%[1]s/creds/writ-*"], "sync" = [] }
}
`, mount, roleParameters)
}

// handsPolicy lets the auth method make the role and the grant of a bundle, remove both, and end what was issued by them. It issues nothing.
func handsPolicy(cluster string) string {
	return fmt.Sprintf(`path "%[1]s/roles/writ-*" {
  capabilities = ["create", "update", "delete"]
%[2]s}
path "sys/policies/acl/%[3]s*" {
  capabilities = ["create", "update", "delete"]
}
path "sys/leases/revoke-prefix/%[1]s/creds/writ-*" {
  capabilities = ["update", "sudo"]
}
`, Mount(cluster), roleParameters, grantPrefix(cluster))
}

// oidcHandsPolicy lets the auth method make the role and the grant of a bundle, for this cluster's audience alone, and remove both. It
// vouches for nothing.
func oidcHandsPolicy(cluster, audience string) string {
	return fmt.Sprintf(`path "%[1]s/role/%[2]s*" {
  capabilities = ["create", "update", "delete"]
  allowed_parameters = {
    "key"       = [%[3]q]
    "client_id" = [%[4]q]
    "ttl"       = [%[5]q]
    "template"  = []
  }
}
path "sys/policies/acl/%[2]s*" {
  capabilities = ["create", "update", "delete"]
}
`, OIDCEngine, grantPrefix(cluster), OIDCKey(cluster), audience, IdentityLife)
}

// unless drops an error that is none.
func unless(err error, none func(error) bool) error {
	if err != nil && none(err) {
		return nil
	}
	return err
}

// taken is Vault's word on a path that somebody else has mounted meanwhile: clusters may be set up at the same time.
func taken(err error) bool { return strings.Contains(err.Error(), "path is already in use") }

// Remove takes from a cluster all that Setup gave it, with the token of an administrator: first the policies, without which no
// token for it can do anything, then its logins, its mount, and with the mount every credential that it issued. Removing what is
// not there changes nothing.
func Remove(ctx context.Context, root *api.Client, cluster string) error {
	if !label.MatchString(cluster) {
		return fmt.Errorf("vault remove: cluster name %q is not a DNS label", cluster)
	}
	policies, err := root.Sys().ListPoliciesWithContext(ctx)
	if err != nil {
		return fmt.Errorf("vault remove of %s: %w", cluster, explain("listing policies", err))
	}
	paths := []string{"sys/policies/acl/" + loginName(cluster), "sys/policies/acl/" + HandsPolicy(cluster)}
	for _, name := range policies {
		if strings.HasPrefix(name, grantPrefix(cluster)) {
			paths = append(paths, "sys/policies/acl/"+name)
		}
	}
	paths = append(paths, AuthPath+"clusters/"+cluster, "auth/cert/certs/"+loginName(cluster), "sys/mounts/"+Mount(cluster))
	for _, path := range paths {
		if _, err := root.Logical().DeleteWithContext(ctx, path); err != nil && !absent(err) {
			return fmt.Errorf("vault remove of %s: %w", cluster, explain("deleting "+path, err))
		}
	}
	if err := vouchNoMore(ctx, root, cluster); err != nil {
		return fmt.Errorf("vault remove of %s: %w", cluster, explain("taking away the key of identity tokens", err))
	}
	return nil
}

// absent is Vault's word on an auth method that is not mounted.
func absent(err error) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}
