package executor

import (
	"context"
	"errors"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/internal/fault"
	"github.com/writ-dev/writ/spoke/journal"
)

// finish signs the receipt, writes it into the journal and sends it; then it watches for the outcome, if anything was done.
func (e *Executor) finish(ctx context.Context, a *attempt, no *refusal.Refusal) error {
	receipt := e.receiptOf(a, no)
	if len(a.artefact) > 0 {
		if err := e.keep(ctx, "artefact", func() error { return e.Journal.Keep(a.id(), a.artefact) }); err != nil {
			return err
		}
		receipt.Artefact = bundle.Digest(a.artefact)
	}
	envelope, err := bundle.Seal(ctx, bundle.ReceiptType, receipt, e.Receipts)
	if err != nil {
		return err
	}
	var watch *journal.Watch
	if receipt.Result == bundle.Applied && !a.decoded.Order.Prediction.ByHub() {
		watch = watchOf(a.decoded, receipt.FinishedAt)
	}
	if err := e.keep(ctx, "receipt", func() error { return e.Journal.Finish(a.id(), envelope, watch) }); err != nil {
		return err
	}
	e.trace(a, "receipt", receipt.FinishedAt, no)
	e.countReceipt(a.decoded.Order.Action, receipt, no)
	e.Uplink.Attested()
	e.Log.InfoContext(ctx, "receipt", "bundle", a.id(), "action", a.decoded.Order.Action,
		"target", a.decoded.Order.Target.String(), "result", string(receipt.Result), "change", receipt.Change)
	if watch != nil {
		e.running.Go(func() { e.observe(e.life, *watch) })
	}
	return nil
}

func (e *Executor) receiptOf(a *attempt, no *refusal.Refusal) bundle.Receipt {
	d := a.decoded
	receipt := bundle.Receipt{
		Cluster: e.Audience.Cluster, BundleID: d.Bundle.ID, BundleDigest: d.Digest, Epoch: d.Bundle.Epoch, Sequence: d.Bundle.Sequence,
		OrderID: d.Order.ID, OrderDigest: d.OrderDigest, RequestID: d.Order.RequestID,
		Refusal: no, StartedAt: a.started.UTC(), FinishedAt: e.Now().UTC(),
	}
	if a.lease != nil {
		receipt.Credential = a.lease.Issuer + ":" + a.lease.ID
	}
	switch {
	case a.done:
		receipt.Result, receipt.Change, receipt.Generation = bundle.Applied, a.change.Says, a.generated
	case a.sent:
		receipt.Result = bundle.Failed
	default:
		receipt.Result = bundle.Refused
	}
	return receipt
}

func watchOf(d *bundle.Decoded, from time.Time) *journal.Watch {
	return &journal.Watch{BundleID: d.Bundle.ID, Bundle: d.Raw,
		Until: from.Add(time.Duration(d.Order.Prediction.WithinSeconds) * time.Second)}
}

// observe waits for what was predicted and signs what came true.
func (e *Executor) observe(ctx context.Context, watch journal.Watch) {
	d, no := bundle.Decode(watch.Bundle)
	if no != nil {
		e.Log.ErrorContext(ctx, "journal holds an unreadable bundle", "bundle", watch.BundleID, "detail", no.Detail)
		return
	}
	entered := e.Now()
	held, detail, err := e.Targets.Await(ctx, d.Order, watch.Until)
	if ctx.Err() != nil {
		return // the restart goes on watching
	}
	if err != nil {
		detail = err.Error()
	}
	outcome := bundle.Outcome{Cluster: e.Audience.Cluster, BundleID: d.Bundle.ID, OrderID: d.Order.ID, OrderDigest: d.OrderDigest,
		RequestID: d.Order.RequestID, Result: bundle.DidNot, Detail: refusal.OneLine(detail), ObservedAt: e.Now().UTC()}
	if held {
		outcome.Result = bundle.CameTrue
	} else {
		outcome.Drift = e.drift(ctx, d.Order)
	}
	envelope, err := bundle.Seal(ctx, bundle.OutcomeType, outcome, e.Receipts)
	if err == nil {
		err = e.keep(ctx, "outcome", func() error { return e.Journal.Outcome(d.Bundle.ID, envelope) })
	}
	if err != nil {
		e.Log.ErrorContext(ctx, "outcome not written; the restart will observe again", "bundle", d.Bundle.ID, "error", err)
		return
	}
	e.trace(&attempt{decoded: d}, "observe", entered, nil)
	e.Uplink.Attested()
}

// driftWithin bounds the last look at a target that is not as predicted.
const driftWithin = 10 * time.Second

// drift is what is not as predicted; nothing where nobody can tell.
func (e *Executor) drift(ctx context.Context, order bundle.Order) []catalogue.Drift {
	ctx, cancel := context.WithTimeout(ctx, driftWithin)
	defer cancel()
	drift, err := e.Targets.Drift(ctx, order)
	if err != nil {
		e.Log.WarnContext(ctx, "the drift is not known", "target", order.Target.String(), "error", err)
	}
	return drift
}

// keep writes what was signed into the journal, again and again while the disk has no room: what was done must be told.
func (e *Executor) keep(ctx context.Context, what string, write func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		fault.Point("spoke", what, "before")
		err := write()
		if err == nil {
			fault.Point("spoke", what, "after")
		}
		e.broken(err)
		if !errors.Is(err, journal.ErrFull) || !e.sleep(ctx, pause) {
			return err
		}
		e.Log.WarnContext(ctx, "will write again", "what", what, "error", err)
	}
}
