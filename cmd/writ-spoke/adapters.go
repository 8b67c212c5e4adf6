package main

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/signal"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/epoch"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/heads"
	"github.com/writ-dev/writ/spoke/journal"
	"github.com/writ-dev/writ/spoke/link"
	"github.com/writ-dev/writ/spoke/localpolicy"
	"github.com/writ-dev/writ/spoke/probe"
	"github.com/writ-dev/writ/spoke/rehearsal"
	"github.com/writ-dev/writ/spoke/sandbox"
	"github.com/writ-dev/writ/spoke/target"
	"github.com/writ-dev/writ/spoke/trusted"
)

// handler hands what the hub sends to whom it concerns.
type handler struct {
	executor *executor.Executor
	rehearse *rehearsal.Rehearser
	heads    *heads.Watch
	targets  *target.Reader
	probes   bool // whether it can
	policy   *localpolicy.File
	epochs   *epoch.Keeper
	trusted  *trusted.Keeper
	identity *enrol.Enrolment
	leased   func() // has the hub told of live credentials, and of what is frozen
}

// TrustRoots implements link.Handler.
func (h *handler) TrustRoots(ctx context.Context, chain [][]byte) error {
	return h.trusted.Walk(ctx, chain)
}

// Authorities implements link.Handler.
func (h *handler) Authorities(_ context.Context, pem []byte) error { return h.identity.Trust(pem) }

// Renewal implements link.Handler.
func (h *handler) Renewal() { h.identity.Hurry() }

// Trusting implements link.Handler.
func (h *handler) Trusting() *writv1.Trusting {
	source := h.identity.Source
	return &writv1.Trusting{RootVersion: h.trusted.Present().Version(), Authorities: source.Authorities().Digest(),
		SvidAuthority: identity.AuthorityOf(source.SVID().Leaf())}
}

// Bundle implements link.Handler.
func (h *handler) Bundle(ctx context.Context, envelope []byte) error {
	return h.executor.Bundle(ctx, envelope)
}

// Head implements link.Handler.
func (h *handler) Head(ctx context.Context, envelope []byte) error {
	return h.heads.Head(ctx, envelope)
}

// frozen stops what is to be stopped, and has the hub told that it is held.
func (h *handler) frozen(f bundle.Freezes) {
	h.executor.Withdraw(f)
	h.leased()
}

// EpochReset implements link.Handler.
func (h *handler) EpochReset(ctx context.Context, statement []byte) error {
	return h.epochs.Reset(ctx, statement)
}

// Inspect implements link.Handler. A fault gives no answer: the hub asks again. What the spoke may not read is no fault: its
// rights are those of the actions that the cluster's admin allowed.
func (h *handler) Inspect(ctx context.Context, inspect *writv1.Inspect) *writv1.Facts {
	answer := &writv1.Facts{InspectId: inspect.GetInspectId()}
	facts, err := h.lookAgain(ctx, inspect, catalogue.Target{APIVersion: inspect.GetApiVersion(),
		Kind: inspect.GetKind(), Namespace: inspect.GetNamespace(), Name: inspect.GetName()})
	if errors.Is(err, target.ErrNotFound) || errors.Is(err, catalogue.ErrUnfit) {
		answer.Problem = err.Error()
		return answer
	}
	if apierrors.IsForbidden(err) {
		answer.Problem = fmt.Sprintf("%s is not allowed there: name it in actions.allowed, and the namespace in actions.namespaces, of the spoke's chart (%v)",
			inspect.GetAction(), err)
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

// believeAfter is how long a no of the API server is asked again: one that has just started may not have read everybody's rights yet, and
// then forbids everything.
const believeAfter = 3 * time.Second

func (h *handler) lookAgain(ctx context.Context, inspect *writv1.Inspect, t catalogue.Target) (catalogue.Facts, error) {
	for began := time.Now(); ; {
		facts, err := h.look(ctx, inspect, t)
		if !apierrors.IsForbidden(err) || time.Since(began) > believeAfter {
			return facts, err
		}
		select {
		case <-ctx.Done():
			return facts, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// look looks at a target by the catalogue, or by the template that this cluster's admin knows: never by one that the hub sends.
func (h *handler) look(ctx context.Context, inspect *writv1.Inspect, t catalogue.Target) (catalogue.Facts, error) {
	if action := catalogue.Actions()[inspect.GetAction()]; action != nil && action.Probe != nil && !h.probes {
		return catalogue.Facts{}, fmt.Errorf("%w: %w", catalogue.ErrUnfit, executor.ErrNoPods)
	}
	if inspect.GetTemplateDigest() == "" {
		return h.targets.Look(ctx, inspect.GetAction(), inspect.GetParameters(), t)
	}
	action, digest := h.policy.Template(inspect.GetAction())
	switch {
	case action == nil:
		return catalogue.Facts{}, fmt.Errorf("%w: this cluster's admin has not allowed %s: it is not in actions.templates of the spoke's chart", catalogue.ErrUnfit, inspect.GetAction())
	case digest != inspect.GetTemplateDigest():
		return catalogue.Facts{}, fmt.Errorf("%w: this cluster's admin has allowed another %s, %s, the hub has %s: bring actions.templates of the spoke's chart up to date",
			catalogue.ErrUnfit, inspect.GetAction(), digest, inspect.GetTemplateDigest())
	}
	return h.targets.LookFor(ctx, action, inspect.GetParameters(), t)
}

// Rehearse implements link.Handler.
func (h *handler) Rehearse(ctx context.Context, envelope []byte) *writv1.Attestation {
	id, signed := h.rehearse.Rehearse(ctx, envelope)
	if signed == nil {
		return nil
	}
	return &writv1.Attestation{BundleId: id, Envelope: signed}
}

// veil is the key under which secret values of one request's diffs are told apart: nobody but this spoke can make it.
func veil(receipts ed25519.PrivateKey) func(requestID string) []byte {
	return func(requestID string) []byte {
		mac := hmac.New(sha256.New, receipts.Seed())
		_, _ = mac.Write([]byte("writ.dev/rehearsal/" + requestID))
		return mac.Sum(nil)
	}
}

// effects shows the targets to the executor.
type effects struct{ *target.Reader }

// Applied implements executor.Targets.
func (e effects) Applied(ctx context.Context, order bundle.Order, fieldManager string) (bool, error) {
	applied, err := e.Reader.Applied(ctx, order, fieldManager)
	if errors.Is(err, target.ErrNotFound) {
		err = fmt.Errorf("%w: %w", executor.ErrGone, err)
	}
	return applied, err
}

// prober shows the sandbox's probes to the executor.
type prober struct{ probe.Prober }

// Probe implements executor.Prober.
func (p prober) Probe(ctx context.Context, orderID string, of catalogue.Probe) (catalogue.Probed, error) {
	found, err := p.Prober.Probe(ctx, orderID, of)
	if errors.Is(err, sandbox.ErrSilent) {
		err = fmt.Errorf("%w: %w", executor.ErrNoAnswer, err)
	}
	return found, err
}

// outbox shows the journal to the link.
type outbox struct{ journal *journal.Journal }

// Head implements link.Journal.
func (o outbox) Head(context.Context) (epoch, sequence uint64, digest string, err error) {
	h, err := o.journal.Head()
	return h.Epoch, h.Sequence, h.Digest, err
}

// leases says which credentials may be live, as the journal has them. What is frozen is read first: of what the hub sees as live while the
// spoke holds a freeze, nothing had ended when the spoke heard of that.
func leases(memory *journal.Journal, issuer string) func() (*writv1.Leases, error) {
	return func() (*writv1.Leases, error) {
		frozen, err := memory.Frozen()
		if err != nil {
			return nil, err
		}
		live, err := memory.Leases()
		if err != nil {
			return nil, err
		}
		out := &writv1.Leases{Omitted: uint32(max(0, len(live)-maxLeases))}
		for _, f := range frozen.Active {
			out.Freezes = append(out.Freezes, f.Name)
		}
		for _, l := range live[:min(len(live), maxLeases)] {
			out.Live = append(out.Live, &writv1.Lease{BundleId: l.BundleID, RequestId: l.RequestID, Action: l.Action, Target: l.Target,
				Issuer: issuer, Id: l.ID, Since: timestamppb.New(l.Since), Until: timestamppb.New(l.Until)})
		}
		return out, nil
	}
}

// maxLeases bounds how many credentials the hub is told of at once.
const maxLeases = 64

// Undelivered implements link.Journal.
func (o outbox) Undelivered(_ context.Context, visit func(kind writv1.Acknowledge_Kind, bundleID string, envelope, artefact []byte)) error {
	receipts, err := o.journal.Receipts()
	if err != nil {
		return err
	}
	outcomes, err := o.journal.Outcomes()
	if err != nil {
		return err
	}
	for _, signed := range receipts {
		visit(writv1.Acknowledge_KIND_RECEIPT, signed.BundleID, signed.Envelope, signed.Artefact)
	}
	for _, signed := range outcomes {
		visit(writv1.Acknowledge_KIND_OUTCOME, signed.BundleID, signed.Envelope, nil)
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
