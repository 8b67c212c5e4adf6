// Package vaultauth is Vault's own judge of bundles: an auth method that takes a whole bundle as the login, and gives a token for
// the one credential that the bundle orders.
//
// It trusts neither the hub nor the spoke. What a bundle is worth it decides by the code that the spoke uses (api/bundle,
// api/trust): the gateway's and, at the high tier, the approvers' signatures by the trust root; the action, its rules and its tier
// computed anew; the times. Whoever presents the bundle must hold, on this very TLS connection, the SVID of the cluster that the
// bundle is for. A bundle and its order are used up before the answer leaves, in Vault's replicated storage.
//
// Vault, not the spoke, makes the Kubernetes engine's role of the order's rules; the token's policy names that role's credential,
// with its parameters, and nothing else. It is a batch token: nothing of it is stored, it ends with the action's deadline and takes the
// credential with it, and before that it is worth nothing any more from when the grant is ended.
//
// It never writes a bundle, a token or a key into a log, and never answers yes where it could not write down that it did.
package vaultauth

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// backend may be used by several goroutines.
type backend struct {
	*framework.Backend
	now   func() time.Time
	hands *hands
	root  recalled

	reserving sync.Mutex // guards reserved; one at a time asks whether a bundle is used
	reserved  map[string]bool
	mu        sync.Mutex // guards grants and swept
	grants    []record   // of this process, whose role and policy are still there
	swept     time.Time  // when storage was last gone through; zero for never
}

// Factory implements logical.Factory.
func Factory(ctx context.Context, c *logical.BackendConfig) (logical.Backend, error) {
	b := newBackend(time.Now)
	return b, b.Setup(ctx, c)
}

func newBackend(now func() time.Time) *backend {
	b := &backend{now: now, hands: newHands(), reserved: map[string]bool{}}
	b.Backend = &framework.Backend{
		Help:        "Judges a bundle of Writ, and gives a token for the one credential that it orders.",
		BackendType: logical.TypeCredential,
		PathsSpecial: &logical.Paths{
			Unauthenticated: []string{"login", "end", handsPath},
			SealWrapStorage: []string{configKey, secretKey},
		},
		Paths:        []*framework.Path{b.pathLogin(), b.pathEnd(), b.pathGrants(), b.pathGrant(), b.pathHands(), b.pathConfig(), b.pathClusters(), b.pathCluster()},
		PeriodicFunc: b.sweep,
		Invalidate:   b.invalidate,
	}
	return b
}

// invalidate is told of keys that another node of Vault has changed.
func (b *backend) invalidate(_ context.Context, key string) {
	if key == configKey || key == secretKey || strings.HasPrefix(key, clusterPrefix) {
		b.hands.forget()
	}
}
