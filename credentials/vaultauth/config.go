package vaultauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/identity"
)

// Where things are in the method's storage.
const (
	configKey     = "config"
	secretKey     = "hands"
	clusterPrefix = "clusters/"
)

// config is whom this Vault believes, and how the method reaches the Vault that it is part of.
type config struct {
	TrustRoot   []byte `json:"trust_root"` // with those that it followed, as trust.Root.Keep writes it
	TrustDomain string `json:"trust_domain"`
	Authorities string `json:"authorities"` // PEM
	Address     string `json:"vault_address"`
	CA          string `json:"vault_ca"` // PEM
	ServerName  string `json:"vault_server_name,omitempty"`
	Mount       string `json:"mount"` // this method's own path: auth/writ/
}

// clusterConfig is what this Vault knows of a cluster.
type clusterConfig struct {
	UID   string `json:"cluster_uid"`     // of its namespace kube-system
	Mount string `json:"mount,omitempty"` // of its Kubernetes engine; empty where Vault vouches for its actions instead
	// Audience is what identity tokens of its actions are for.
	Audience string `json:"audience,omitempty"`
	// LoweredTo is the tier to which whoever runs Vault agrees that a cluster's own policy lowers what content demands.
	LoweredTo catalogue.Tier `json:"lowered_to,omitempty"`
}

// engine is where roles for the cluster's bundles are made.
func (c clusterConfig) engine() string {
	if c.Audience != "" {
		return vault.OIDCEngine
	}
	return c.Mount
}

func (b *backend) pathConfig() *framework.Path {
	text := func(description string) *framework.FieldSchema {
		return &framework.FieldSchema{Type: framework.TypeString, Description: description}
	}
	return &framework.Path{
		Pattern: "config$",
		Fields: map[string]*framework.FieldSchema{
			"trust_root": {Type: framework.TypeStringSlice, Description: "The trust root: TUF root metadata, byte for byte. Several are versions that follow each other; " +
				"each must be signed by the root keys of the one before, and the first by those of the one that is there."},
			"trust_domain":      text("The trust domain of hub and clusters."),
			"authorities":       text("PEM: the CA certificates that SVIDs are signed by."),
			"vault_address":     text("https://host:port of this Vault, as its own nodes reach it."),
			"vault_ca":          text("PEM: what Vault's own certificate is signed by."),
			"vault_server_name": text("The name in Vault's certificate, where it is not that of the address."),
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.writeConfig},
			logical.ReadOperation:   &framework.PathOperation{Callback: b.readConfig},
			logical.DeleteOperation: &framework.PathOperation{Callback: b.forgetConfig},
		},
		HelpSynopsis: "Whom this Vault believes.",
	}
}

func (b *backend) writeConfig(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	var before config
	if _, err := get(ctx, req.Storage, configKey, &before); err != nil {
		return nil, err
	}
	root, err := before.follow(d.Get("trust_root").([]string), b.now())
	if err != nil {
		return logical.ErrorResponse("%v", err), nil
	}
	c := config{TrustRoot: root.Keep(), TrustDomain: d.Get("trust_domain").(string), Authorities: d.Get("authorities").(string),
		Address: d.Get("vault_address").(string), CA: d.Get("vault_ca").(string), ServerName: d.Get("vault_server_name").(string), Mount: req.MountPoint}
	if err := c.check(root); err != nil {
		return logical.ErrorResponse("%v", err), nil
	}
	if err := makeSecret(ctx, req.Storage); err != nil {
		return nil, err
	}
	b.hands.forget()
	return nil, put(ctx, req.Storage, configKey, c)
}

// follow is the trust root after a chain of versions. Where there is one already, only what its root keys have signed can follow it, as
// on every spoke; what is there already may be said again.
func (c config) follow(chain []string, now time.Time) (*trust.Root, error) {
	if len(chain) == 0 {
		return nil, errors.New("trust_root is needed")
	}
	var versions [][]byte
	for _, raw := range chain {
		versions = append(versions, []byte(raw))
	}
	if c.TrustRoot == nil {
		root, err := trust.Pinned(versions[0])
		return walk(root, versions[1:], now, err)
	}
	has, err := trust.Recall(c.TrustRoot)
	if err != nil {
		return nil, err
	}
	for len(versions) > 0 {
		next, err := trust.Pinned(versions[0])
		if err != nil {
			return nil, err
		}
		if next.Version() > has.Version() {
			break
		}
		if versions = versions[1:]; next.Version() == has.Version() && !next.Same(has) {
			return nil, fmt.Errorf("version %d of the trust root is not the version %d that is here: one of them was not made by the same people. %s", next.Version(), has.Version(), anew)
		}
		if next.Version() < has.Version() && len(versions) == 0 {
			return nil, fmt.Errorf("version %d of the trust root is behind version %d, which is here, and nothing goes back", next.Version(), has.Version())
		}
	}
	root, err := walk(has, versions, now, nil)
	if err != nil {
		return nil, fmt.Errorf("%w (version %d is here; give every later one, in order: writ vault setup --trust-root). %s", err, has.Version(), anew)
	}
	return root, nil
}

const anew = "For a fleet that begins anew, vault delete auth/writ/config forgets it"

// walk goes from a trust root to the last of its successors, if there are any; the last must be in force.
func walk(root *trust.Root, chain [][]byte, now time.Time, err error) (*trust.Root, error) {
	if err == nil && len(chain) > 0 {
		return root.Walk(chain, now)
	}
	if err == nil {
		err = root.Valid(now)
	}
	return root, err
}

// forgetConfig is for a fleet that begins anew. What is used stays used.
func (b *backend) forgetConfig(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	b.hands.forget()
	return nil, req.Storage.Delete(ctx, configKey)
}

// check says what of a configuration could not be used.
func (c config) check(root *trust.Root) error {
	for _, role := range trust.Roles() {
		if _, err := root.Keys(role); err != nil {
			return err
		}
	}
	domain, err := spiffeid.TrustDomainFromString(c.TrustDomain)
	if err != nil {
		return fmt.Errorf("trust_domain: %w", err)
	}
	authorities, err := identity.ParseAuthorities([]byte(c.Authorities))
	if err != nil {
		return err
	}
	if authorities.TrustDomain() != domain {
		return fmt.Errorf("authorities: they vouch for %s, not for %s", authorities.TrustDomain(), domain)
	}
	_, err = newClient(c)
	return err
}

// makeSecret makes, once, what the method proves itself by to itself.
func makeSecret(ctx context.Context, s logical.Storage) error {
	entry, err := s.Get(ctx, secretKey)
	if err != nil || entry != nil {
		return err
	}
	return s.Put(ctx, &logical.StorageEntry{Key: secretKey, Value: []byte(rand.Text())})
}

func (b *backend) readConfig(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	var c config
	found, err := get(ctx, req.Storage, configKey, &c)
	if err != nil || !found {
		return nil, err
	}
	data := map[string]any{"trust_domain": c.TrustDomain, "authorities": c.Authorities, "vault_address": c.Address,
		"vault_ca": c.CA, "vault_server_name": c.ServerName, "time": b.now().UTC().Format(time.RFC3339)}
	root, err := trust.Recall(c.TrustRoot)
	if err == nil {
		data["trust_root"], data["trust_root_version"], data["trust_root_expires"] = string(root.Bytes()), root.Version(), root.Expires().UTC().Format(time.RFC3339)
		err = root.Valid(b.now())
	}
	if err != nil {
		data["problem"] = err.Error()
	}
	return &logical.Response{Data: data}, nil
}

func (b *backend) pathClusters() *framework.Path {
	return &framework.Path{
		Pattern: "clusters/?$",
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: &framework.PathOperation{Callback: func(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
				names, err := req.Storage.List(ctx, clusterPrefix)
				return logical.ListResponse(names), err
			}},
		},
		HelpSynopsis: "The clusters whose bundles this Vault judges.",
	}
}

func (b *backend) pathCluster() *framework.Path {
	return &framework.Path{
		Pattern: "clusters/(?P<name>[a-z0-9-]+)$",
		Fields: map[string]*framework.FieldSchema{
			"name":        {Type: framework.TypeString, Description: "The cluster's name."},
			"cluster_uid": {Type: framework.TypeString, Description: "The UID of the cluster's namespace kube-system."},
			"mount":       {Type: framework.TypeString, Description: "Where the cluster's Kubernetes engine is mounted."},
			"audience":    {Type: framework.TypeString, Description: "Instead of a mount: what the identity tokens of its actions are for."},
			"lowered_to":  {Type: framework.TypeString, Description: "The tier to which the cluster's own policy may lower what content demands: low or medium."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.writeCluster},
			logical.ReadOperation:   &framework.PathOperation{Callback: b.readCluster},
			logical.DeleteOperation: &framework.PathOperation{Callback: func(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				return nil, req.Storage.Delete(ctx, clusterPrefix+d.Get("name").(string))
			}},
		},
		HelpSynopsis: "A cluster whose bundles this Vault judges.",
	}
}

func (b *backend) writeCluster(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	c := clusterConfig{UID: d.Get("cluster_uid").(string), Mount: strings.Trim(d.Get("mount").(string), "/"), Audience: d.Get("audience").(string),
		LoweredTo: catalogue.Tier(d.Get("lowered_to").(string))}
	if err := c.check(name); err != nil {
		return logical.ErrorResponse("%v", err), nil
	}
	return nil, put(ctx, req.Storage, clusterPrefix+name, c)
}

func (c clusterConfig) check(name string) error {
	switch {
	case !label.MatchString(name):
		return fmt.Errorf("cluster name %q is not a DNS label", name)
	case c.UID == "":
		return errors.New("cluster_uid is needed: the UID of the cluster's namespace kube-system")
	case c.Mount != "" && c.Audience != "":
		return errors.New("mount and audience: Vault issues in the cluster, or vouches for its actions, not both")
	case c.Audience == "" && !mountable.MatchString(c.Mount):
		return fmt.Errorf("mount %q is no path of an engine", c.Mount)
	case c.LoweredTo != "" && c.LoweredTo != catalogue.Low && c.LoweredTo != catalogue.Medium:
		return fmt.Errorf("lowered_to: %q is neither low nor medium", c.LoweredTo)
	}
	return nil
}

func (b *backend) readCluster(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	var c clusterConfig
	found, err := get(ctx, req.Storage, clusterPrefix+d.Get("name").(string), &c)
	if err != nil || !found {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"cluster_uid": c.UID, "mount": c.Mount, "audience": c.Audience, "lowered_to": string(c.LoweredTo)}}, nil
}

func put(ctx context.Context, s logical.Storage, key string, value any) error {
	entry, err := logical.StorageEntryJSON(key, value)
	if err != nil {
		return err
	}
	return s.Put(ctx, entry)
}

// get reads a value, and says whether it is there.
func get(ctx context.Context, s logical.Storage, key string, into any) (bool, error) {
	entry, err := s.Get(ctx, key)
	if err != nil || entry == nil {
		return false, err
	}
	return true, entry.DecodeJSON(into)
}
