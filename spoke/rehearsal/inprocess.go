package rehearsal

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

// DryRun makes the dry run of a rehearsal with a client: the same that comes before an execution.
type DryRun func(ctx context.Context, config *rest.Config, r trust.Rehearsable, veil []byte, now time.Time) (changes diff.Diff, says string, no *refusal.Refusal, err error)

// InProcess rehearses in the spoke itself, with the identity of a rehearsal.
type InProcess struct {
	Issuer  credentials.Rehearser
	Cluster *rest.Config // host and CA only
	DryRun  DryRun
	Veil    func(requestID string) []byte
	Now     func() time.Time
}

// Try implements Stage.
func (p InProcess) Try(ctx context.Context, r trust.Rehearsable, _ []byte) (Found, *refusal.Refusal, error) {
	asked := r.Rehearsal()
	found := Found{Place: bundle.InProcess}
	life := time.Duration(asked.DeadlineSeconds) * time.Second
	ctx, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	no, err := persist(ctx, p.Now, func(ctx context.Context) (*refusal.Refusal, error) {
		lease, err := p.Issuer.Rehearse(ctx, r, life)
		if errors.Is(err, credentials.ErrRefused) {
			return refusal.New("credential", refusal.CredentialRefused, "%v", err), nil
		}
		if err != nil {
			return nil, err
		}
		found.Credential = lease.String()
		var no *refusal.Refusal
		found.Diff, found.Change, no, err = p.DryRun(ctx, lease.RESTConfig(p.Cluster), r, p.Veil(asked.RequestID), p.Now())
		return no, err
	})
	return found, no, err
}

// The pauses between two tries, and how long a no of the API server is asked again: one that has just started may not have read
// everybody's rights yet.
const (
	firstPause   = 50 * time.Millisecond
	lastPause    = 2 * time.Second
	believeAfter = 5 * time.Second
)

// persist tries again and again while there is a fault, as long as the context lives.
func persist(ctx context.Context, now func() time.Time, try func(context.Context) (*refusal.Refusal, error)) (*refusal.Refusal, error) {
	entered := now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		no, err := try(ctx)
		doubtful := no != nil && (no.Reason == refusal.CredentialRefused || no.Reason == refusal.DryRunRefused)
		if err == nil && (!doubtful || now().After(entered.Add(believeAfter))) {
			return no, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			if err == nil {
				return no, nil
			}
			return nil, err
		case <-timer.C:
		}
	}
}
