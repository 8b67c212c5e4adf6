package vaultauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const grantsPrefix = "grants/"

func (b *backend) pathEnd() *framework.Path {
	return &framework.Path{
		Pattern: "end$",
		Fields: map[string]*framework.FieldSchema{
			"bundle": {Type: framework.TypeString, Description: "The bundle's ID."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.giveBack, ForwardPerformanceStandby: true, ForwardPerformanceSecondary: true},
		},
		HelpSynopsis: "Give back what a bundle got: for the spoke that the bundle was for, which proves itself as at its login and needs no token.",
	}
}

func (b *backend) giveBack(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	c, no, err := b.caller(ctx, req, b.now())
	if err != nil {
		return nil, err
	}
	if no != nil {
		return logical.ErrorResponse("%v", no), nil
	}
	return nil, b.end(ctx, req.Storage, c.config, c.cluster, d.Get("bundle").(string))
}

func (b *backend) pathGrants() *framework.Path {
	return &framework.Path{
		Pattern: grantsPrefix + "(?P<cluster>[a-z0-9-]+)/?$",
		Fields: map[string]*framework.FieldSchema{
			"cluster": {Type: framework.TypeString, Description: "The cluster's name."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation:   &framework.PathOperation{Callback: b.listGrants},
			logical.DeleteOperation: &framework.PathOperation{Callback: b.endGrants},
		},
		HelpSynopsis: "The bundles for which there is still something in this Vault, or in the cluster by it; deleting ends all of it.",
	}
}

func (b *backend) listGrants(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	bundles, err := live(ctx, req.Storage, d.Get("cluster").(string))
	return logical.ListResponse(bundles), err
}

// endGrants ends all grants of a cluster: one that cannot be ended keeps no other from it.
func (b *backend) endGrants(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	var c config
	found, err := get(ctx, req.Storage, configKey, &c)
	if err != nil || !found {
		return nil, err
	}
	cluster := d.Get("cluster").(string)
	bundles, err := live(ctx, req.Storage, cluster)
	for _, bundle := range bundles {
		err = errors.Join(err, b.end(ctx, req.Storage, c, cluster, bundle))
	}
	return nil, err
}

// live are the bundles of a cluster that have got something that can be ended.
func live(ctx context.Context, s logical.Storage, cluster string) (bundles []string, err error) {
	prefix := usedPrefix + cluster + "/"
	keys, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "bundle-") {
			continue
		}
		var r record
		found, err := get(ctx, s, prefix+key, &r)
		if err != nil {
			return nil, err
		}
		if found && r.live() {
			bundles = append(bundles, r.Bundle)
		}
	}
	slices.Sort(bundles)
	return bundles, nil
}

func (b *backend) pathGrant() *framework.Path {
	return &framework.Path{
		Pattern: grantsPrefix + "(?P<cluster>[a-z0-9-]+)/(?P<bundle>[a-z0-9-]+)$",
		Fields: map[string]*framework.FieldSchema{
			"cluster": {Type: framework.TypeString, Description: "The cluster's name."},
			"bundle":  {Type: framework.TypeString, Description: "The bundle's ID."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.DeleteOperation: &framework.PathOperation{Callback: b.endGrant},
		},
		HelpSynopsis: "End what a bundle got, now: its credential, and its token's worth.",
	}
}

func (b *backend) endGrant(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	var c config
	found, err := get(ctx, req.Storage, configKey, &c)
	if err != nil || !found {
		return nil, err
	}
	return nil, b.end(ctx, req.Storage, c, d.Get("cluster").(string), d.Get("bundle").(string))
}

// end takes back what a bundle got, for good: the bundle stays used. Of one that got nothing, or gave it back, there is nothing to end.
func (b *backend) end(ctx context.Context, s logical.Storage, c config, cluster, bundle string) error {
	key := usedKey(cluster, "bundle", bundle)
	if b.isReserved(key) {
		return errors.New("the bundle is being used at this moment: ask again")
	}
	var r record
	found, err := get(ctx, s, key, &r)
	if err != nil || !found || !r.live() {
		return err
	}
	if err := b.takeBack(ctx, s, c, r); err != nil {
		return fmt.Errorf("ending what bundle %s got: %w", bundle, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grants = slices.DeleteFunc(b.grants, func(other record) bool { return other.keys() == r.keys() })
	return nil
}
