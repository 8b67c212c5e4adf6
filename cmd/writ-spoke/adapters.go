package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/signal"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/heads"
	"github.com/writ-dev/writ/spoke/journal"
	"github.com/writ-dev/writ/spoke/link"
	"github.com/writ-dev/writ/spoke/target"
)

// handler hands what the hub sends to whom it concerns.
type handler struct {
	executor *executor.Executor
	heads    *heads.Watch
	targets  *target.Reader
}

// Bundle implements link.Handler.
func (h *handler) Bundle(ctx context.Context, envelope []byte) error {
	return h.executor.Bundle(ctx, envelope)
}

// Head implements link.Handler.
func (h *handler) Head(ctx context.Context, envelope []byte) error {
	return h.heads.Head(ctx, envelope)
}

// Inspect implements link.Handler. A fault gives no answer: the hub asks again.
func (h *handler) Inspect(ctx context.Context, inspect *writv1.Inspect) *writv1.Facts {
	answer := &writv1.Facts{InspectId: inspect.GetInspectId()}
	facts, err := h.targets.Facts(ctx, catalogue.Target{APIVersion: inspect.GetApiVersion(), Kind: inspect.GetKind(),
		Namespace: inspect.GetNamespace(), Name: inspect.GetName()})
	if errors.Is(err, target.ErrNotFound) {
		answer.Problem = err.Error()
		return answer
	}
	if err == nil {
		answer.Facts, err = json.Marshal(facts)
	}
	if err != nil {
		return nil
	}
	return answer
}

// effects shows the targets to the executor.
type effects struct{ *target.Reader }

// Applied implements executor.Targets.
func (e effects) Applied(ctx context.Context, t catalogue.Target, fieldManager string) (bool, error) {
	applied, err := e.Reader.Applied(ctx, t, fieldManager)
	if errors.Is(err, target.ErrNotFound) {
		err = fmt.Errorf("%w: %w", executor.ErrGone, err)
	}
	return applied, err
}

// outbox shows the journal to the link.
type outbox struct{ journal *journal.Journal }

// Head implements link.Journal.
func (o outbox) Head(context.Context) (epoch, sequence uint64, digest string, err error) {
	h, err := o.journal.Head()
	return h.Epoch, h.Sequence, h.Digest, err
}

// Undelivered implements link.Journal.
func (o outbox) Undelivered(_ context.Context, visit func(kind writv1.Acknowledge_Kind, bundleID string, envelope []byte)) error {
	receipts, err := o.journal.Receipts()
	if err != nil {
		return err
	}
	outcomes, err := o.journal.Outcomes()
	if err != nil {
		return err
	}
	for _, signed := range receipts {
		visit(writv1.Acknowledge_KIND_RECEIPT, signed.BundleID, signed.Envelope)
	}
	for _, signed := range outcomes {
		visit(writv1.Acknowledge_KIND_OUTCOME, signed.BundleID, signed.Envelope)
	}
	return nil
}

// Delivered implements link.Journal.
func (o outbox) Delivered(_ context.Context, kind writv1.Acknowledge_Kind, bundleID string) error {
	if kind == writv1.Acknowledge_KIND_OUTCOME {
		return o.journal.OutcomeDelivered(bundleID)
	}
	return o.journal.ReceiptDelivered(bundleID)
}

// errCrowded is what a signal meets when too many wait for the hub; it is reported again.
var errCrowded = errors.New("too many signals wait for the hub")

// reporter sends signals up the link.
type reporter struct{ link *link.Link }

// Report implements signals.Reporter.
func (r reporter) Report(_ context.Context, s signal.Signal) error {
	if !r.link.Signal(s.Report()) {
		return errCrowded
	}
	return nil
}
