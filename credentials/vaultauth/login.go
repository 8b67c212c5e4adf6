package vaultauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/internal/identity"
)

func (b *backend) pathLogin() *framework.Path {
	return &framework.Path{
		Pattern: "login$",
		Fields: map[string]*framework.FieldSchema{
			"bundle": {Type: framework.TypeString, Description: "The bundle: its DSSE envelope, byte for byte."},
			"ttl":    {Type: framework.TypeDurationSecond, Description: "How long the action may still take; at most its deadline counts, which is the default."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.login, ForwardPerformanceStandby: true, ForwardPerformanceSecondary: true},
		},
		HelpSynopsis: "Trade a bundle, once, for a token of the one credential that it orders.",
	}
}

// caller is the spoke that asks, and what this Vault knows of its cluster.
type caller struct {
	config  config
	cluster string // that the client's SVID proves
	known   clusterConfig
}

// facts are what a login is judged on, gathered once.
type facts struct {
	caller

	raw   []byte
	asked time.Duration
	now   time.Time
}

// login judges, burns, makes the role and the policy, and answers only when all of that is done.
func (b *backend) login(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	f := facts{now: b.now(), raw: []byte(d.Get("bundle").(string)), asked: time.Duration(d.Get("ttl").(int)) * time.Second}
	var no, err error
	if f.caller, no, err = b.caller(ctx, req, f.now); err != nil {
		return nil, err
	}
	if no != nil {
		return logical.ErrorResponse("%v", no), nil
	}
	v, refused := f.judge(ctx, &b.root)
	if refused != nil {
		return logical.ErrorResponse("the bundle is refused: %s: %s", refused.Reason, refused.Detail), nil
	}
	g, no := grantOf(v, f.known, f.asked)
	if no != nil {
		return logical.ErrorResponse("the bundle is refused: %v", no), nil
	}
	used := g.record(f.now)
	if err := b.reserve(ctx, req.Storage, used); errors.Is(err, errUsed) {
		b.Logger().Warn("a bundle came twice", "cluster", g.cluster, "bundle", v.Decoded().Bundle.ID)
		return logical.ErrorResponse("the bundle is refused: %v", err), nil
	} else if err != nil {
		return nil, err
	}
	defer b.unreserve(used)
	if err := b.make(ctx, req.Storage, f.config, g, used); err != nil {
		return nil, err
	}
	return &logical.Response{Auth: g.auth()}, nil
}

// make burns the bundle and makes what it is worth, side by side; all of it is done when it returns nil. Else nothing was given, and
// the bundle may come again.
func (b *backend) make(ctx context.Context, s logical.Storage, c config, g grant, used record) error {
	var burned, made error
	var both sync.WaitGroup
	both.Go(func() { burned = used.write(ctx, s) })
	both.Go(func() { made = b.hands.prepare(ctx, s, c, g) })
	both.Wait()
	if burned == nil && made == nil {
		b.remember(used)
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	err := b.hands.clear(ctx, s, c, used, used.Mount)
	if err != nil {
		b.remember(used)
	}
	open := used
	open.Open = true
	if burned != nil {
		burned = fmt.Errorf("the bundle cannot be written down as used, and so is not used: %w", burned)
	}
	if made != nil {
		made = fmt.Errorf("making the role of the bundle: %w", made)
	}
	return errors.Join(burned, made, err, open.write(ctx, s))
}

// caller reads who asks. no is for whoever cannot be served at all.
func (b *backend) caller(ctx context.Context, req *logical.Request, now time.Time) (c caller, no, err error) {
	found, err := get(ctx, req.Storage, configKey, &c.config)
	if err != nil {
		return c, nil, err
	}
	if !found {
		return c, errors.New("this auth method is not configured: writ vault setup"), nil
	}
	if c.cluster, no = c.config.client(req.Connection, now); no != nil {
		return c, no, nil
	}
	found, err = get(ctx, req.Storage, clusterPrefix+c.cluster, &c.known)
	if err == nil && !found {
		no = fmt.Errorf("cluster %s is not set up here: writ vault setup %s", c.cluster, c.cluster)
	}
	return c, no, err
}

// client is the cluster whose SVID the client's TLS connection proves.
func (c config) client(connection *logical.Connection, now time.Time) (string, error) {
	if connection == nil || connection.ConnState == nil {
		return "", errors.New("the client's TLS connection must end at Vault")
	}
	authorities, err := identity.ParseAuthorities([]byte(c.Authorities))
	if err != nil {
		return "", err
	}
	id, err := authorities.Verify(connection.ConnState.PeerCertificates, now)
	if err != nil {
		return "", err
	}
	cluster, ok := identity.ClusterName(authorities.TrustDomain(), id)
	if !ok {
		return "", fmt.Errorf("%s is no cluster", id)
	}
	return cluster, nil
}

// judge decides about the bundle by the code that the spoke decides by. Vault keeps no sequence: a spoke may come here with its
// bundles in any order, and with some not at all; in its place each bundle and order counts once.
func (f facts) judge(ctx context.Context, known *recalled) (trust.Verified, *refusal.Refusal) {
	root, err := known.read(f.config.TrustRoot)
	if err != nil {
		return trust.Verified{}, refusal.New("verify", refusal.SignatureInvalid, "%v", err)
	}
	d, no := bundle.Decode(f.raw)
	if no != nil {
		return trust.Verified{}, no
	}
	a, no := trust.Authenticate(ctx, d, root, trust.Expect{
		Audience: bundle.Audience{TrustDomain: f.config.TrustDomain, Cluster: f.cluster, ClusterUID: f.known.UID},
		Epoch:    d.Bundle.Epoch, Sequence: d.Bundle.Sequence - 1, Previous: d.Bundle.Previous})
	if no != nil {
		return trust.Verified{}, no
	}
	return trust.Judge(ctx, a, f.now, trust.LoweredTo(f.known.LoweredTo))
}

// recalled is the trust root that was read last, with those that it followed: to check their signatures anew takes longer than all the rest
// of judging. It goes by the bytes, so that it is never another one than the configuration's.
type recalled struct {
	mu   sync.Mutex
	raw  []byte
	root *trust.Root
}

// read is trust.Recall.
func (r *recalled) read(raw []byte) (*trust.Root, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.root != nil && bytes.Equal(r.raw, raw) {
		return r.root, nil
	}
	root, err := trust.Recall(raw)
	if err == nil {
		r.raw, r.root = raw, root
	}
	return root, err
}

// auth is the token: a batch token, of which Vault stores nothing. Nothing renews it, and it is worth something for as long as there is
// its policy.
func (g grant) auth() *logical.Auth {
	order := g.verified.Order()
	return &logical.Auth{
		Policies: []string{g.policy}, NoDefaultPolicy: true, DisplayName: "writ-" + g.cluster,
		Alias: &logical.Alias{Name: g.cluster}, // says nothing of the grant: an alias outlives it, and is shared
		Metadata: map[string]string{"cluster": g.cluster, "bundle": g.verified.Decoded().Bundle.ID, "order": order.ID, "request": order.RequestID,
			"action": order.Action, "path": g.path(), "namespace": g.namespace},
		LeaseOptions:   logical.LeaseOptions{TTL: g.life, MaxTTL: g.life},
		ExplicitMaxTTL: g.life,
		TokenType:      logical.TokenTypeBatch,
	}
}
