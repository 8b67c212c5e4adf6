package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/journal"
)

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
	ctx, stop := context.WithCancelCause(ctx)
	e.begin(a, stop)
	no, err := e.walk(ctx, a, acting)
	e.end(a)
	if a.claimed.Entry().BundleID != "" {
		if !a.asked {
			a.leased.Until = e.Now() // there is none
		}
		e.running.Go(func() { e.release(a.leased, a.lease) })
	}
	if life.Err() != nil {
		return
	}
	if err != nil {
		no = e.afterFault(life, a, err, context.Cause(ctx))
	}
	if err := e.finish(life, a, no); err != nil {
		e.Log.ErrorContext(life, "receipt not written; the restart will write it", "bundle", a.id(), "error", err)
	}
}

// afterFault decides what a fault that outlasted the deadline means, or one that was stopped: if the change left, only the cluster knows.
func (e *Executor) afterFault(ctx context.Context, a *attempt, fault, cause error) *refusal.Refusal {
	if a.sent {
		check, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if applied, err := e.Targets.Applied(check, a.decoded.Order, fieldManager(a.decoded.Order)); err == nil && applied {
			a.done = true
			return nil
		}
	}
	if stopped := (*withdrawn)(nil); errors.As(cause, &stopped) {
		return stopped.no
	}
	return refusal.New("execute", refusal.DeadlineExceeded, "not done within %d s: %v", a.decoded.Order.DeadlineSeconds, fault)
}

// claim writes "started" into the journal, synced, before the first side effect. It succeeds once, and never for what is frozen
// at that moment.
func (e *Executor) claim(_ context.Context, a *attempt) (*refusal.Refusal, error) {
	now := e.Now()
	if expires := a.decoded.Bundle.Expires; now.After(expires) {
		return refusal.New("claim", refusal.BundleExpired, "it was to start before %s: ask again", expires.Format(time.RFC3339)), nil
	}
	var no *refusal.Refusal
	lease := e.leaseOf(a, now)
	claimed, err := e.Journal.ClaimUnless(a.id(), now, &lease, func(frozen bundle.Freezes) error {
		if no = frozen.Judge(a.id(), a.decoded.Order.Action, now); no != nil {
			return errFrozen
		}
		return nil
	})
	if errors.Is(err, errFrozen) {
		return no, nil
	}
	if errors.Is(err, journal.ErrClaimed) {
		return nil, fmt.Errorf("%w: %w", errNever, err)
	}
	a.claimed, a.started, a.leased = claimed, now, lease
	e.Uplink.Leased()
	return nil, err
}

// errFrozen keeps the journal from writing a claim.
var errFrozen = errors.New("frozen")

// credential asks for a credential of this action alone.
func (e *Executor) credential(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	if a.lease == nil {
		e.lookAhead(ctx, a)
		if no, err := e.issue(ctx, a); no != nil || err != nil {
			return no, err
		}
	}
	if err := e.note(a); err != nil {
		return nil, err
	}
	var err error
	a.api, err = newAPI(a.lease.RESTConfig(e.Cluster), a.decoded.Order.Target.Namespace)
	return nil, err
}

func (e *Executor) issue(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	life := time.Duration(a.decoded.Order.DeadlineSeconds) * time.Second
	if end, ok := ctx.Deadline(); ok {
		life = time.Until(end) // what is left of it
	}
	lease, err := e.Issuer.Issue(ctx, a.verified, life)
	a.asked = a.asked || !errors.Is(err, credentials.ErrRefused) && !errors.Is(err, credentials.ErrNotIssued)
	if errors.Is(err, credentials.ErrRefused) {
		return refusal.New("credential", refusal.CredentialRefused, "%v", err), nil
	}
	if err != nil {
		return nil, err
	}
	a.lease = lease
	return nil, nil
}

// dryRun computes the change from what may be read, and has the API server check it: beside the credential, or with it.
func (e *Executor) dryRun(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	if t, ok := e.seenAhead(a); ok {
		a.change = t.change
		return nil, nil
	}
	t, no, err := e.tryAs(ctx, a, a.api)
	if no != nil || err != nil {
		return no, err
	}
	a.change = t.change
	return nil, nil
}

// tryAs makes the dry run of an attempt. What it would change must be what was rehearsed, where something was: that is what people have seen.
func (e *Executor) tryAs(ctx context.Context, a *attempt, api *api) (trial, *refusal.Refusal, error) {
	action, c := a.verified.Action()
	order := a.decoded.Order
	t, no, err := try(ctx, api, action, c, catalogue.Stamp{OrderID: order.ID, At: a.started}, e.Veil(order.RequestID))
	if no != nil || err != nil {
		return trial{}, no, err
	}
	if order.RehearsalDigest != "" && t.diff.Digest() != order.RehearsalDigest {
		return trial{}, refusal.New("dryRun", refusal.RealityMoved, "it would change something else than what was rehearsed: %s now; ask again", t.diff), nil
	}
	return t, nil, nil
}

// apply makes the change. The patch carries the resource version that was read, so that it cannot overwrite what somebody
// else changed meanwhile; then everything is computed anew, against the same preconditions.
func (e *Executor) apply(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	if a.change.Verb == catalogue.Nothing {
		return e.collect(ctx, a)
	}
	manager := fieldManager(a.decoded.Order)
	if a.sent {
		if applied, err := e.Targets.Applied(ctx, a.decoded.Order, manager); applied || err != nil {
			a.done = applied
			return nil, err
		}
		if no, err := e.dryRun(ctx, a); no != nil || err != nil {
			return no, err
		}
	}
	a.sent = true
	object, err := a.api.do(ctx, a.change, manager, false)
	if err == nil {
		a.done, a.generated = true, generationOf(object)
	}
	return verdictOf("apply", refusal.ApplyRefused, err)
}
