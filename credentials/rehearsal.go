package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/trust"
)

// Rehearser mints the credential of one rehearsal. It is no Issuer: what it gives cannot change anything.
type Rehearser interface {
	// Rehearse returns a lease that lives at least as long as asked.
	Rehearse(ctx context.Context, r trust.Rehearsable, life time.Duration) (*RehearsalLease, error)
}

// RehearsalLease is the credential of a rehearsal. Admission in the cluster holds its identity to dry runs; and so does its own
// client, so that a mistake here does not even get that far.
type RehearsalLease struct{ lease Lease }

// NewRehearsalLease makes a lease, for whoever issues.
func NewRehearsalLease(issuer, id, token string, expires time.Time) *RehearsalLease {
	return &RehearsalLease{*NewLease(issuer, id, token, expires, nil)}
}

// RESTConfig is how to use the lease: base says where the API server is and how it proves itself.
func (l *RehearsalLease) RESTConfig(base *rest.Config) *rest.Config {
	return OnlyDryRuns(l.lease.RESTConfig(base))
}

// String names the lease, without its secret.
func (l *RehearsalLease) String() string { return l.lease.String() }

// errNoDryRun is what a rehearsal's own client says to a request that would change something.
var errNoDryRun = errors.New("a rehearsal reads and makes dry runs, nothing else")

// OnlyDryRuns has a client refuse every request that is neither a read nor a dry run, before it is sent.
func OnlyDryRuns(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return dryRuns{next} })
	return config
}

type dryRuns struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d dryRuns) RoundTrip(request *http.Request) (*http.Response, error) {
	all := request.URL.Query()["dryRun"]
	if request.Method != http.MethodGet && (len(all) != 1 || all[0] != "All") {
		return nil, fmt.Errorf("%w: %s %s", errNoDryRun, request.Method, request.URL.Path)
	}
	return d.next.RoundTrip(request)
}
