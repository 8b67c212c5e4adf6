package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

const (
	// IdentityLife is of one identity token. Another one is had as long as Vault's own token lives.
	IdentityLife = "60s"
	// early is how long before its end an identity token is replaced: the API server's clock may be ahead, and a request takes its time.
	early = 10 * time.Second
)

// Identities are made in the cluster itself, where Vault cannot reach it. Of themselves they are of no use to anybody: nobody there
// gives a token of them.
type Identities interface {
	// Bind makes the identity of a bundle's action, and gives it the action's rights. Where it fails nothing is left of it.
	Bind(ctx context.Context, v trust.Verified) error
	// Foretell and End are as those of credentials.Issuer.
	Foretell(v trust.Verified) string
	End(ctx context.Context, id string) error
	// Sweep ends what nobody ended, and says how many.
	Sweep(ctx context.Context) (int, error)
}

// OIDC issues where Vault has no way to the cluster: Vault judges the bundle and vouches for its action by tokens of a minute, which the
// cluster's API server takes. It implements credentials.Issuer.
type OIDC struct {
	Identities

	judged *judged
	early  time.Duration
}

// NewOIDC makes an issuer. Vault is not called until the first Issue.
func NewOIDC(o Options, in Identities) (*OIDC, error) {
	j, err := newJudged(o)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &OIDC{Identities: in, judged: j, early: early}, nil
}

// Issue implements credentials.Issuer.
func (i *OIDC) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	end := time.Now().Add(life)
	s, _, err := i.judged.enter(ctx, v, life)
	if err != nil {
		return nil, err
	}
	if s.until.Before(end) {
		err := fmt.Errorf("%w: vault vouches for the action until %s, its time is over at %s", credentials.ErrRefused, s.until.Format(time.RFC3339), end.Format(time.RFC3339))
		return nil, errors.Join(err, i.judged.end(ctx, v.Decoded().Bundle.ID))
	}
	vouched := vouched{standing: s, path: OIDCEngine + "/token/" + OIDCRole(i.judged.cluster, v.Decoded().Bundle.ID), order: v.Order().ID, early: i.early}
	var first *oauth2.Token // fetched now, so that a Vault that says no costs no request
	var both errgroup.Group // each to its end: what is cut off could come about after it was removed
	both.Go(func() error { return i.Bind(ctx, v) })
	both.Go(func() (err error) { first, err = vouched.fetch(ctx); return err })
	id := i.Foretell(v)
	give := func(ctx context.Context) error {
		err := i.End(ctx, id)
		if time.Now().After(s.until) { // so is Vault's token
			return err
		}
		return errors.Join(err, i.judged.end(ctx, v.Decoded().Bundle.ID))
	}
	if err := both.Wait(); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, errors.Join(err, i.End(ctx, id))
	}
	vouched.first = make(chan *oauth2.Token, 1)
	vouched.first <- first
	return credentials.NewRenewedLease("oidc", id, vouched, s.until, give), nil
}

// vouched gives the identity tokens of one bundle. It implements oauth2.TokenSource.
type vouched struct {
	*standing

	path, order string
	early       time.Duration
	first       chan *oauth2.Token // the one that there is already
}

// Token implements oauth2.TokenSource.
func (v vouched) Token() (*oauth2.Token, error) {
	select {
	case first := <-v.first:
		return first, nil
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return v.fetch(ctx)
}

func (v vouched) fetch(ctx context.Context) (*oauth2.Token, error) {
	from := time.Now()
	secret, err := v.client.Logical().ReadWithContext(ctx, v.path)
	if err != nil {
		return nil, explain("having Vault vouch for "+v.order, err)
	}
	if secret == nil {
		return nil, errors.New("vault: the answer holds no identity token")
	}
	token, _ := secret.Data["token"].(string)
	ttl, _ := secret.Data["ttl"].(json.Number)
	life, err := ttl.Int64()
	if token == "" || err != nil {
		return nil, errors.New("vault: the answer holds no identity token")
	}
	return &oauth2.Token{AccessToken: token, Expiry: from.Add(time.Duration(life)*time.Second - v.early)}, nil
}

// oidc has Vault vouch for the cluster's actions, and takes away the engine that issued in the cluster, with all that it issued.
func (p *planner) oidc(o SetupOptions, audience string) {
	p.write("make the key "+OIDCKey(o.Cluster)+", which signs identity tokens for "+audience+" alone", OIDCEngine+"/key/"+OIDCKey(o.Cluster),
		map[string]any{"algorithm": "ES256", "allowed_client_ids": []string{audience}, "rotation_period": keyLife, "verification_ttl": keyLife})
	if mount := Mount(o.Cluster); p.mounts[mount+"/"] != nil {
		p.add("take away the mount "+mount+"/, and every credential that it issued", func(ctx context.Context) error {
			return p.root.Sys().UnmountWithContext(ctx, mount)
		})
	}
}

// keyLife is how long a key signs, and then how long it is still published.
const keyLife = "24h"

// vouchNoMore takes away a cluster's key, and first the roles that need it, without which Vault does not let the key go.
func vouchNoMore(ctx context.Context, root *api.Client, cluster string) error {
	list, err := root.Logical().ListWithContext(ctx, OIDCEngine+"/role")
	if err != nil {
		return err
	}
	if list != nil {
		roles, _ := list.Data["keys"].([]any)
		for _, role := range roles {
			if name, _ := role.(string); strings.HasPrefix(name, grantPrefix(cluster)) {
				if _, err := root.Logical().DeleteWithContext(ctx, OIDCEngine+"/role/"+name); err != nil {
					return err
				}
			}
		}
	}
	_, err = root.Logical().DeleteWithContext(ctx, OIDCEngine+"/key/"+OIDCKey(cluster))
	return unless(err, absent)
}
