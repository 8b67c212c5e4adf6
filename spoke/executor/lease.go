package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/journal"
)

const (
	// revokeWithin bounds one try to end a lease.
	revokeWithin = 10 * time.Second
	// longest is how long a credential that nobody ends may live past the action's deadline: as long as the shortest token of an API server.
	longest = 10 * time.Minute
)

// leaseOf is the lease that will be asked for, as it is written down with the claim.
func (e *Executor) leaseOf(a *attempt, now time.Time) journal.Lease {
	order := a.decoded.Order
	return journal.Lease{BundleID: a.id(), RequestID: order.RequestID, Action: order.Action, Target: order.Target.String(),
		ID: e.Issuer.Foretell(a.verified), Since: now.UTC(), Until: now.Add(time.Duration(order.DeadlineSeconds)*time.Second + longest).UTC()}
}

// note writes down what the issuer calls the lease, where that could not be foretold: before it is used.
func (e *Executor) note(a *attempt) error {
	if a.leased.ID == a.lease.ID {
		return nil
	}
	if err := e.Journal.Issued(a.id(), a.lease.ID); err != nil {
		return err
	}
	a.leased.ID = a.lease.ID
	e.Uplink.Leased()
	return nil
}

// release ends a lease, and forgets it once nothing is left of it. It tries until that is so; where the spoke is stopped before, the
// restart goes on. It does not wait for the receipt, nor the receipt for it.
func (e *Executor) release(l journal.Lease, lease *credentials.Lease) {
	end := func(ctx context.Context) error { return e.Issuer.End(ctx, l.ID) }
	if lease != nil {
		end = lease.Revoke
	}
	refused := 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := e.endOnce(l, end)
		if err == nil {
			return
		}
		e.broken(err)
		e.Log.WarnContext(e.life, "credential not ended yet, will try again", "bundle", l.BundleID, "lease", l.ID, "expires", l.Until, "error", err)
		switch {
		case !errors.Is(err, credentials.ErrOutOfReach):
		case lease == nil:
			pause = max(pause, l.Until.Sub(e.Now()))
		case e.refuses(lease):
			if refused++; refused > 1 { // one of several API servers may only not know it yet
				l.Until = e.Now()
			}
		default:
			refused = 0
		}
		if !e.sleep(e.life, pause) {
			return
		}
	}
}

// refuses is whether the API server takes a credential for nobody's: it has ended, whoever ended it.
func (e *Executor) refuses(lease *credentials.Lease) bool {
	ctx, cancel := context.WithTimeout(e.life, revokeWithin)
	defer cancel()
	api, err := newAPI(lease.RESTConfig(e.Cluster), "")
	if err != nil {
		return false
	}
	_, err = answerOf(api.client.Post().AbsPath("/apis/authentication.k8s.io/v1/selfsubjectreviews").SetHeader("Content-Type", "application/json").
		Body([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)).Do(ctx))
	return apierrors.IsUnauthorized(err)
}

func (e *Executor) endOnce(l journal.Lease, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.life), revokeWithin)
	defer cancel()
	err := fmt.Errorf("its issuer's answer was lost: %w", credentials.ErrOutOfReach)
	if l.ID != "" {
		err = end(ctx)
	}
	if over := !e.Now().Before(l.Until); err != nil && (!over || !errors.Is(err, credentials.ErrOutOfReach)) {
		return err
	}
	if err := e.Journal.Ended(l.BundleID); err != nil {
		return fmt.Errorf("it has ended, and is not forgotten: %w", err)
	}
	e.Uplink.Leased()
	return nil
}
