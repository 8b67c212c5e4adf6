package executor

import (
	"context"
	"errors"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/internal/fault"
	"github.com/writ-dev/writ/spoke/journal"
)

// Bundle takes one envelope from the hub: refuses what is not for this cluster, takes into the journal what is, and has it
// executed if it may be. It returns once the bundle is taken or rejected; an error means that it should be sent again.
func (e *Executor) Bundle(ctx context.Context, raw []byte) error {
	a := &attempt{raw: raw}
	no, err := e.walk(ctx, a, authenticating)
	if err != nil {
		return err
	}
	if no != nil {
		e.reject(ctx, a, no)
		return nil
	}
	verdict, err := e.walk(ctx, a, judging)
	if err != nil {
		return err
	}
	fault.Point("spoke", "take", "before")
	entry, err := e.take(ctx, a, verdict)
	if err != nil {
		return err
	}
	fault.Point("spoke", "take", "after")
	e.Uplink.Taken(entry.Epoch, entry.Sequence, entry.BundleID)
	if entry.Refusal != nil {
		return e.finish(ctx, a, entry.Refusal)
	}
	e.start(a)
	return nil
}

func (e *Executor) reject(ctx context.Context, a *attempt, no *refusal.Refusal) {
	var sequence uint64
	if a.decoded != nil {
		sequence = a.decoded.Bundle.Sequence
	}
	if no.Reason == refusal.SequenceReplayed {
		e.Log.InfoContext(ctx, "bundle was taken before", "sequence", sequence)
	} else {
		e.Log.ErrorContext(ctx, "bundle rejected", "sequence", sequence, "reason", string(no.Reason), "detail", no.Detail)
	}
	e.Meter.Rejected(string(no.Reason))
	e.Uplink.Rejected(sequence, string(no.Reason), no.Detail)
}

// decode reads the bytes strictly.
func (e *Executor) decode(_ context.Context, a *attempt) (*refusal.Refusal, error) {
	decoded, no := bundle.Decode(a.raw)
	a.decoded = decoded
	return no, nil
}

// verify checks who signed, for whom, and that it is the next of this cluster.
func (e *Executor) verify(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	head, err := e.Journal.Head()
	if err != nil {
		return nil, err
	}
	authentic, no := trust.Authenticate(ctx, a.decoded, e.Root.Present(), trust.Expect{
		Audience: e.Audience, Epoch: head.Epoch, Sequence: head.Sequence, Previous: head.Digest,
	})
	a.authentic = authentic
	return no, nil
}

// judge decides, with the shared kernel and then with the cluster's own policy.
func (e *Executor) judge(ctx context.Context, a *attempt) (*refusal.Refusal, error) {
	now := e.Now()
	verified, no := trust.Judge(ctx, a.authentic, now, trust.LoweredTo(e.Policy.Lowers(a.decoded.Order, now)))
	if no != nil {
		return no, nil
	}
	action, _ := verified.Action()
	if order := verified.Order(); (order.Tier == catalogue.High || action.Rehearsed) && order.RehearsalDigest == "" {
		return refusal.New("judge", refusal.RehearsalMissing, "a %s order of %s must name what was rehearsed: upgrade the hub", order.Tier, order.Action), nil
	}
	a.verified = verified
	return e.Policy.Allow(verified.Order(), verified.Floor(), now), nil
}

// take writes the bundle into the journal and moves the sequence, whatever the verdict. An order that was used before is
// refused here: one approval is good for one execution. While the journal is full the hub is told so, and nothing moves:
// it is tried again until there is room or the stream ends.
func (e *Executor) take(ctx context.Context, a *attempt, verdict *refusal.Refusal) (journal.Entry, error) {
	entry := entryOf(a.decoded, verdict)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := e.Journal.Take(entry)
		if errors.Is(err, journal.ErrOrderUsed) {
			entry = entryOf(a.decoded, refusal.New("claim", refusal.OrderUsed, "order %s was used before: ask again", entry.OrderID))
			err = e.Journal.Take(entry)
		}
		if err == nil {
			return entry, nil
		}
		e.broken(err)
		e.Log.ErrorContext(ctx, "bundle not taken", "bundle", entry.BundleID, "error", err)
		e.Uplink.Rejected(entry.Sequence, "JournalFailed", err.Error())
		if !errors.Is(err, journal.ErrFull) || !e.sleep(ctx, pause) {
			return entry, err
		}
	}
}

func entryOf(d *bundle.Decoded, verdict *refusal.Refusal) journal.Entry {
	return journal.Entry{
		Epoch: d.Bundle.Epoch, Sequence: d.Bundle.Sequence, BundleID: d.Bundle.ID, BundleDigest: d.Digest,
		Previous: d.Bundle.Previous, OrderID: d.Order.ID, OrderEnds: d.Order.ValidUntil, Refusal: verdict, Bundle: d.Raw,
	}
}
