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
	TrustRoot   string `json:"trust_root"` // TUF root metadata
	TrustDomain string `json:"trust_domain"`
	Authorities string `json:"authorities"` // PEM
	Address     string `json:"vault_address"`
	CA          string `json:"vault_ca"` // PEM
	ServerName  string `json:"vault_server_name,omitempty"`
	Mount       string `json:"mount"` // this method's own path: auth/writ/
}

// clusterConfig is what this Vault knows of a cluster.
type clusterConfig struct {
	UID   string `json:"cluster_uid"` // of its namespace kube-system
	Mount string `json:"mount"`       // of its Kubernetes engine
	// LoweredTo is the tier to which whoever runs Vault agrees that a cluster's own policy lowers what content demands.
	LoweredTo catalogue.Tier `json:"lowered_to,omitempty"`
}

func (b *backend) pathConfig() *framework.Path {
	text := func(description string) *framework.FieldSchema {
		return &framework.FieldSchema{Type: framework.TypeString, Description: description}
	}
	return &framework.Path{
		Pattern: "config$",
		Fields: map[string]*framework.FieldSchema{
			"trust_root":        text("The trust root: TUF root metadata, byte for byte."),
			"trust_domain":      text("The trust domain of hub and clusters."),
			"authorities":       text("PEM: the CA certificates that SVIDs are signed by."),
			"vault_address":     text("https://host:port of this Vault, as its own nodes reach it."),
			"vault_ca":          text("PEM: what Vault's own certificate is signed by."),
			"vault_server_name": text("The name in Vault's certificate, where it is not that of the address."),
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.writeConfig},
			logical.ReadOperation:   &framework.PathOperation{Callback: b.readConfig},
		},
		HelpSynopsis: "Whom this Vault believes.",
	}
}

func (b *backend) writeConfig(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	c := config{TrustRoot: d.Get("trust_root").(string), TrustDomain: d.Get("trust_domain").(string), Authorities: d.Get("authorities").(string),
		Address: d.Get("vault_address").(string), CA: d.Get("vault_ca").(string), ServerName: d.Get("vault_server_name").(string), Mount: req.MountPoint}
	if err := c.check(b.now()); err != nil {
		return logical.ErrorResponse("%v", err), nil
	}
	if err := makeSecret(ctx, req.Storage); err != nil {
		return nil, err
	}
	b.hands.forget()
	return nil, put(ctx, req.Storage, configKey, c)
}

// check says what of a configuration could not be used.
func (c config) check(now time.Time) error {
	root, err := trust.ParseRoot([]byte(c.TrustRoot), now)
	if err != nil {
		return err
	}
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
	data := map[string]any{"trust_root": c.TrustRoot, "trust_domain": c.TrustDomain, "authorities": c.Authorities, "vault_address": c.Address,
		"vault_ca": c.CA, "vault_server_name": c.ServerName, "time": b.now().UTC().Format(time.RFC3339)}
	if root, err := trust.ParseRoot([]byte(c.TrustRoot), b.now()); err != nil {
		data["problem"] = err.Error()
	} else {
		data["trust_root_version"], data["trust_root_expires"] = root.Version(), root.Expires().UTC().Format(time.RFC3339)
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
	c := clusterConfig{UID: d.Get("cluster_uid").(string), Mount: strings.Trim(d.Get("mount").(string), "/"), LoweredTo: catalogue.Tier(d.Get("lowered_to").(string))}
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
	case !mountable.MatchString(c.Mount):
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
	return &logical.Response{Data: map[string]any{"cluster_uid": c.UID, "mount": c.Mount, "lowered_to": string(c.LoweredTo)}}, nil
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
