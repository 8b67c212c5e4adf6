// Package credentials issues, uses and revokes the credential of one action.
//
// A credential is issued for a verified bundle and nothing else; it lives for minutes, and is revoked once the action is
// done. No secret of it is ever logged, printed or part of an error.
package credentials

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/oauth2"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/writ-dev/writ/api/trust"
)

// ErrRefused is wrapped by every error that says no: trying again would not help. All other errors are faults, and trying
// again until the action's deadline may.
var ErrRefused = errors.New("credential refused")

// ErrNotIssued is wrapped by the faults of an Issue that came before anything could have been issued: nothing has to be ended.
var ErrNotIssued = errors.New("no credential was issued")

// ErrOutOfReach is wrapped by what ends a lease where it cannot do so any more: the lease ends by itself.
var ErrOutOfReach = errors.New("it ends by itself")

// Issuer mints the credential of one verified bundle, and ends it.
type Issuer interface {
	// Issue returns a lease that lives at least as long as asked, or until it is revoked.
	Issue(ctx context.Context, v trust.Verified, life time.Duration) (*Lease, error)
	// Foretell is the ID that a bundle's lease will have, so that it can be written down before there is one; empty where only
	// Issue can tell.
	Foretell(v trust.Verified) string
	// End ends a lease by its ID, also one that was issued before a restart. One that has ended is no error.
	End(ctx context.Context, id string) error
}

// Lease is a credential and how to end it.
type Lease struct {
	ID      string // for the receipt; no secret
	Issuer  string // "tokenrequest", "vault" or "oidc"
	Expires time.Time
	// present has a client show the credential. It is a function, so that nothing that prints the fields of a lease prints the secret.
	present func(*rest.Config)
	revoke  func(context.Context) error
}

// NewLease makes a lease, for issuers. revoke may be called more than once.
func NewLease(issuer, id, token string, expires time.Time, revoke func(context.Context) error) *Lease {
	return &Lease{ID: id, Issuer: issuer, Expires: expires, present: func(c *rest.Config) { c.BearerToken = token }, revoke: revoke}
}

// NewRenewedLease is NewLease for a credential whose tokens live shorter than it does: source gives one after the other.
func NewRenewedLease(issuer, id string, source oauth2.TokenSource, expires time.Time, revoke func(context.Context) error) *Lease {
	wrap := transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(source))
	return &Lease{ID: id, Issuer: issuer, Expires: expires, present: func(c *rest.Config) { c.Wrap(wrap) }, revoke: revoke}
}

// RESTConfig is how to use the lease: base says where the API server is and how it proves itself; whatever identity base
// has is dropped.
func (l *Lease) RESTConfig(base *rest.Config) *rest.Config {
	config := rest.AnonymousClientConfig(base)
	l.present(config)
	return config
}

// Revoke ends the lease. Revoking it again is no error.
func (l *Lease) Revoke(ctx context.Context) error { return l.revoke(ctx) }

// String names the lease, without its secret: "vault:kubernetes-east/creds/writ-…/…".
func (l *Lease) String() string { return l.Issuer + ":" + l.ID }

// LogValue implements slog.LogValuer.
func (l *Lease) LogValue() slog.Value { return slog.StringValue(l.String()) }
