package executor

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/spoke/journal"
)

// resume takes up what the journal says was under way: bundles taken are judged again and executed if they still may be,
// bundles started are never executed again but reported as the cluster shows them, predictions are watched further. All of it
// is read before any of it goes on: what is executed now must not be taken for what was interrupted.
func (e *Executor) resume(ctx context.Context) error {
	unclaimed, err := e.Journal.Unclaimed()
	if err != nil {
		return err
	}
	started, err := e.Journal.Started()
	if err != nil {
		return err
	}
	watches, err := e.Journal.Watches()
	if err != nil {
		return err
	}
	leases, err := e.Journal.Leases()
	if err != nil {
		return err
	}
	for _, lease := range leases {
		e.running.Go(func() { e.release(lease, nil) })
	}
	for _, entry := range unclaimed {
		if err := e.again(ctx, entry); err != nil {
			return err
		}
	}
	for _, entry := range started {
		e.running.Go(func() { e.settle(ctx, entry) })
	}
	for _, watch := range watches {
		e.running.Go(func() { e.observe(e.life, watch) })
	}
	return nil
}

// again judges a bundle that was taken and not started.
func (e *Executor) again(ctx context.Context, entry journal.Entry) error {
	a, err := e.reopen(ctx, entry)
	if err != nil {
		return err
	}
	if entry.Refusal != nil {
		return e.finish(ctx, a, entry.Refusal)
	}
	no, err := e.judge(ctx, a)
	if err != nil {
		return err
	}
	if no != nil {
		return e.finish(ctx, a, no)
	}
	e.start(a)
	return nil
}

// reopen authenticates a bundle of the journal as it was when it was taken.
func (e *Executor) reopen(ctx context.Context, entry journal.Entry) (*attempt, error) {
	a := &attempt{raw: entry.Bundle}
	decoded, no := bundle.Decode(entry.Bundle)
	if no == nil {
		a.decoded = decoded
		a.authentic, no = trust.Authenticate(ctx, decoded, e.Root.Present(), trust.Expect{Audience: e.Audience, Epoch: entry.Epoch,
			Sequence: entry.Sequence - 1, Previous: decoded.Bundle.Previous})
	}
	if no != nil {
		return nil, fmt.Errorf("the journal's bundle %d: %s", entry.Sequence, no)
	}
	return a, nil
}

// settle finds out what became of an action that was started when the spoke stopped. It asks until the cluster answers.
func (e *Executor) settle(ctx context.Context, entry journal.Entry) {
	a, err := e.reopen(ctx, entry)
	if err != nil {
		e.Log.ErrorContext(ctx, "journal entry cannot be settled", "bundle", entry.BundleID, "error", err)
		return
	}
	var applied bool
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		applied, err = e.Targets.Applied(ctx, a.decoded.Order, fieldManager(a.decoded.Order))
		if err == nil || errors.Is(err, ErrGone) {
			break
		}
		if !e.sleep(ctx, pause) {
			return
		}
	}
	var no *refusal.Refusal
	switch {
	case err != nil:
		a.sent = true
		no = refusal.New("execute", refusal.Interrupted, "the spoke was stopped and the target is gone: whether the change was made is not known")
	case applied:
		a.sent, a.done = true, true
		a.change.Says = "found applied after a restart"
		if action, _, ok := a.decoded.Order.Case(); ok && action.Follows {
			a.change.Says = "found begun after a restart: what was to follow and was not done by then is left"
		}
	default:
		no = refusal.New("execute", refusal.Interrupted, "the spoke was stopped before the change was made: ask again")
	}
	if err := e.finish(ctx, a, no); err != nil {
		e.Log.ErrorContext(ctx, "receipt not written; the restart will write it", "bundle", entry.BundleID, "error", err)
	}
}
