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
	r, err := b.granted(ctx, req.Storage, c.cluster, d.Get("bundle").(string))
	if err != nil || r.Open || r.Cleared {
		return nil, err
	}
	if err := b.settle(ctx, req.Storage, c.config, r); err != nil {
		return nil, fmt.Errorf("giving back what bundle %s got: %w", r.Bundle, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grants = slices.DeleteFunc(b.grants, func(other record) bool { return other.keys() == r.keys() })
	return nil, nil
}

// granted is the record of a bundle; it is open where the bundle got nothing. While a login is under way nobody can say what there is to end.
func (b *backend) granted(ctx context.Context, s logical.Storage, cluster, bundle string) (r record, err error) {
	key := usedKey(cluster, "bundle", bundle)
	if b.isReserved(key) {
		return r, fmt.Errorf("bundle %s is being used at this moment: ask again", bundle)
	}
	found, err := get(ctx, s, key, &r)
	r.Open = r.Open || !found
	return r, err
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
		HelpSynopsis: "The bundles whose tokens have not ended yet, or that have something left in the cluster; deleting ends what all of them got.",
	}
}

func (b *backend) listGrants(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	bundles, err := b.standing(ctx, req.Storage, d.Get("cluster").(string))
	return logical.ListResponse(bundles), err
}

// endGrants ends all grants of a cluster: one that cannot be ended keeps no other from it.
func (b *backend) endGrants(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	cluster := d.Get("cluster").(string)
	bundles, err := b.standing(ctx, req.Storage, cluster)
	for _, bundle := range bundles {
		err = errors.Join(err, b.end(ctx, req.Storage, cluster, bundle))
	}
	return nil, err
}

// standing are the bundles of a cluster whose grants may have something still.
func (b *backend) standing(ctx context.Context, s logical.Storage, cluster string) (bundles []string, err error) {
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
		if found && r.stands(b.now()) {
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
	return nil, b.end(ctx, req.Storage, d.Get("cluster").(string), d.Get("bundle").(string))
}

// end takes back what a bundle got, without its spoke: the bundle stays used. The grant stands until its spoke has given it back too, or its
// time is over, and may be ended again: a credential that was being issued at that moment comes afterwards.
func (b *backend) end(ctx context.Context, s logical.Storage, cluster, bundle string) error {
	var c config
	found, err := get(ctx, s, configKey, &c)
	if err != nil || !found {
		return err
	}
	r, err := b.granted(ctx, s, cluster, bundle)
	if err != nil || !r.stands(b.now()) {
		return err
	}
	if err := b.takeBack(ctx, s, c, r); err != nil {
		return fmt.Errorf("ending what bundle %s got: %w", bundle, err)
	}
	return nil
}
