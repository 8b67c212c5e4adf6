// Package executor judges bundles and executes them in its own cluster: the only part of Writ that changes a workload.
//
// It promises that a bundle is executed at most once, never after its deadline, only in its sequence, only if the gateway
// (and, where the content demands it, the approvers) signed it and the cluster's own policy allows it, and only with a
// credential of that one action. Whatever it did, or refused to do, it signs.
package executor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/journal"
)

// atOnce is how many actions are executed at a time; more wait in the hub's queue.
const atOnce = 16

// Uplink carries the spoke's words to the hub. Receipts and outcomes are sent from the journal, again and again until the
// hub has acknowledged them: Attested says that there is a new one.
type Uplink interface {
	Taken(epoch, sequence uint64, bundleID string)
	Rejected(sequence uint64, reason, detail string)
	Attested()
	// Leased hears that there is a credential more, or one less.
	Leased()
}

// ErrGone is wrapped by Targets where the object is not there any more.
var ErrGone = errors.New("the target is gone")

// Targets reads the cluster with the spoke's own, read-only identity.
type Targets interface {
	// Applied reports whether the order's operation, made under this field manager, has reached the cluster; ErrGone where
	// nobody can tell any more.
	Applied(ctx context.Context, order bundle.Order, fieldManager string) (bool, error)
	// Await waits until the order's prediction holds, at most until the time given, and says what was seen.
	Await(ctx context.Context, order bundle.Order, until time.Time) (held bool, detail string, err error)
	// Drift lists what is not as the order predicted now.
	Drift(ctx context.Context, order bundle.Order) ([]catalogue.Drift, error)
}

// Prober has a pod of the sandbox find something out.
type Prober interface {
	// Probe does the probe of an order; ErrNoAnswer where no pod said anything that can be believed.
	Probe(ctx context.Context, orderID string, of catalogue.Probe) (catalogue.Probed, error)
}

// ErrNoAnswer is wrapped by a Prober that found nothing out.
var ErrNoAnswer = errors.New("nothing was found out")

// ErrNoPods is why a spoke without a Prober probes nothing.
var ErrNoPods = errors.New("this spoke has no pods run, and a probe takes one: set rehearsalPod.image in spoke.yaml, and rehearsal to auto or sandbox")

// LocalPolicy is the cluster admin's own word on what may be done here.
type LocalPolicy interface {
	// Lowers is the tier to which the admin agrees to lower what the order's content demands; empty where to none.
	Lowers(order bundle.Order, now time.Time) catalogue.Tier
	Allow(order bundle.Order, floor catalogue.Tier, now time.Time) *refusal.Refusal
}

// Parts are what an executor is made of.
type Parts struct {
	Audience bundle.Audience
	Root     trust.Source
	Journal  *journal.Journal
	Policy   LocalPolicy
	Issuer   credentials.Issuer
	Targets  Targets
	Uplink   Uplink
	Prober   Prober       // nil where no pod can run
	Cluster  *rest.Config // host and CA only: whoever executes brings a lease
	// DryRuns is a client that can read what a bundle's action may read, and make dry runs, and nothing else; nil where only the action's own credential can.
	DryRuns  func(context.Context, trust.Verified) (*rest.Config, error)
	Receipts bundle.Signer
	Veil     func(requestID string) []byte // the key under which secret values of one request's diffs are told apart
	Tracer   trace.Tracer
	Meter    Meter // nil counts nothing
	Log      *slog.Logger
	Now      func() time.Time
}

// Executor executes bundles. Make it with New, start it with Run.
type Executor struct {
	Parts
	slots   chan struct{}
	fatal   chan error // the journal is broken: nothing can be promised any more
	running sync.WaitGroup
	life    context.Context // ends with Run

	mu     sync.Mutex // guards acting
	acting map[*attempt]context.CancelCauseFunc
}

// New makes an executor. Until Run it executes nothing.
func New(parts Parts) *Executor {
	if parts.Meter == nil {
		parts.Meter = silent{}
	}
	return &Executor{Parts: parts, slots: make(chan struct{}, atOnce), fatal: make(chan error, 1), life: context.Background(),
		acting: map[*attempt]context.CancelCauseFunc{}}
}

// Run takes up what was under way when the spoke stopped, and executes until the context ends. It returns once nothing of
// its own is running: with an error where the journal broke, so that the spoke is started again and opens it anew.
func (e *Executor) Run(ctx context.Context, ready func()) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.life = ctx
	if err := e.resume(ctx); err != nil {
		return err
	}
	ready()
	select {
	case <-ctx.Done():
	case err = <-e.fatal:
		cancel()
	}
	e.running.Wait()
	return err
}

// broken notes an error of the journal after which it must be opened again.
func (e *Executor) broken(err error) {
	if !errors.Is(err, journal.ErrFailed) {
		return
	}
	select {
	case e.fatal <- err:
	default:
	}
}

// attempt is one bundle on its way through the steps; each step adds what it found.
type attempt struct {
	raw       []byte
	decoded   *bundle.Decoded
	authentic trust.Authentic
	verified  trust.Verified
	claimed   journal.Claimed
	started   time.Time
	leased    journal.Lease // as the journal has it
	asked     bool          // for a credential, and not refused: there may be one, whatever was answered
	lease     *credentials.Lease
	ahead     *ahead // nil where there is none, or it was looked at
	api       *api
	change    catalogue.Change
	sent      bool // the operation has left: whether it arrived may be unknown
	done      bool // the operation is known to have been applied
	generated int64
	artefact  []byte // what was collected
}

func (a *attempt) id() string {
	if a.decoded == nil {
		return ""
	}
	return a.decoded.Bundle.ID
}

// fieldManager marks a change in the object's managedFields as this order's, so that after a crash it can be told whether
// the change arrived.
func fieldManager(order bundle.Order) string { return managerOf(order.ID) }

func managerOf(orderID string) string { return "writ-" + orderID }
