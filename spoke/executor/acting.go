package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/journal"
)

// revokeWithin bounds the revocation of a lease; past it, the lease's own end counts.
const revokeWithin = 30 * time.Second

// start executes a judged bundle beside the others. It blocks while all slots are taken: what waits then, waits at the hub.
func (e *Executor) start(a *attempt) {
	select {
	case e.slots <- struct{}{}:
	case <-e.life.Done():
		return // taken, not claimed: the restart takes it up
	}
	e.running.Go(func() {
		defer func() { <-e.slots }()
		e.act(e.life, a)
	})
}

// act claims and executes, and writes down what came of it. When the spoke is stopped in between, the restart finds out.
func (e *Executor) act(life context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(life, time.Duration(a.decoded.Order.DeadlineSeconds)*time.Second)
	defer cancel()
	no, err := e.walk(ctx, a, acting)
	if a.lease != nil {
		defer e.revoke(a.lease)
	}
	if life.Err() != nil {
		return
	}
	if err != nil {
		no = e.afterFault(life, a, err)
	}
	if err := e.finish(life, a, no); err != nil {
		e.Log.ErrorContext(life, "receipt not written; the restart will write it", "bundle", a.id(), "error", err)
	}
}

// afterFault decides what a fault that outlasted the deadline means: if the change left, only the cluster knows.
func (e *Executor) afterFault(ctx context.Context, a *attempt, fault error) *refusal.Refusal {
	if a.sent {
		check, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if applied, err := e.Targets.Applied(check, a.decoded.Order.Target, fieldManager(a.decoded.Order)); err == nil && applied {
			a.done = true
			return nil
		}
	}
	return refusal.New("execute", refusal.DeadlineExceeded, "not done within %d s: %v", a.decoded.Order.DeadlineSeconds, fault)
}

// claim writes "started" into the journal, synced, before the first side effect. It succeeds once.
func (e *Executor) claim(_ context.Context, a *attempt) (*refusal.Refusal, error) {
	now := e.Now()
	if expires := a.decoded.Bundle.Expires; now.After(expires) {
		return refusal.New("claim", refusal.BundleExpired, "it was to start before %s: ask again", expires.Format(time.RFC3339)), nil
	}
	claimed, err := e.Journal.Claim(a.id(), now)
	if errors.Is(err, journal.ErrClaimed) {
		return nil, fmt.Errorf("%w: %w", errNever, err)
	}
	a.claimed, a.started = claimed, now
	return nil, err
}

// credential asks for a credential of this action alone.
func (e *Executor) credential(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	life := time.Duration(a.decoded.Order.DeadlineSeconds) * time.Second
	lease, err := e.Issuer.Issue(ctx, a.verified, life)
	if errors.Is(err, credentials.ErrRefused) {
		return refusal.New("credential", refusal.CredentialRefused, "%v", err), nil
	}
	if err != nil {
		return nil, err
	}
	a.lease = lease
	a.api, err = newAPI(lease.RESTConfig(e.Cluster), a.decoded.Order.Target.Namespace)
	return nil, err
}

// dryRun computes the change from what the credential may read, and has the API server check it.
func (e *Executor) dryRun(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	if no, err := e.compute(ctx, a); no != nil || err != nil {
		return no, err
	}
	_, err := a.api.patch(ctx, a.change, fieldManager(a.decoded.Order), true)
	return verdictOf("dryRun", refusal.DryRunRefused, err)
}

// apply makes the change. The patch carries the resource version that was read, so that it cannot overwrite what somebody
// else changed meanwhile; then everything is computed anew, against the same preconditions.
func (e *Executor) apply(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	manager := fieldManager(a.decoded.Order)
	if a.sent {
		if applied, err := e.Targets.Applied(ctx, a.decoded.Order.Target, manager); applied || err != nil {
			a.done = applied
			return nil, err
		}
		if no, err := e.compute(ctx, a); no != nil || err != nil {
			return no, err
		}
	}
	a.sent = true
	generation, err := a.api.patch(ctx, a.change, manager, false)
	if err == nil {
		a.done, a.generated = true, generation
	}
	return verdictOf("apply", refusal.ApplyRefused, err)
}

// compute reads what the action needs and works the change out.
func (e *Executor) compute(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	action, c := a.verified.Action()
	reads := action.Reads(c)
	read := make([][]byte, len(reads))
	for i, r := range reads {
		raw, err := a.api.get(ctx, r)
		if no, err := verdictOf("dryRun", refusal.DryRunRefused, err); no != nil || err != nil {
			return no, err
		}
		read[i] = raw
	}
	change, err := action.Change(c, catalogue.Stamp{OrderID: a.decoded.Order.ID, At: a.started}, read)
	switch {
	case errors.Is(err, catalogue.ErrTargetChanged):
		return refusal.New("dryRun", refusal.TargetChanged, "%v", err), nil
	case errors.Is(err, catalogue.ErrNothingToDo):
		return refusal.New("dryRun", refusal.NothingToDo, "%v", err), nil
	case err != nil:
		return refusal.New("dryRun", refusal.DryRunRefused, "%v", err), nil
	}
	a.change = change
	return nil, nil
}

func (e *Executor) revoke(lease *credentials.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.life), revokeWithin)
	defer cancel()
	if err := lease.Revoke(ctx); err != nil {
		e.Log.WarnContext(ctx, "lease not revoked; it ends by itself", "lease", lease.ID, "expires", lease.Expires, "error", err)
	}
}
