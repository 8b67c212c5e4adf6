// Package gateway is the only way to act: it takes action requests through their life, step by step, each step persisted
// before the next, and signs the bundle that a spoke executes.
//
// It promises that nothing is signed which a policy, a limit or an approver did not let through, that the intent is on the
// audit log before anything leaves the hub, and that a step taken twice has the effect of once. It never holds a credential
// of a workload cluster, and it never acts on an object's status.
package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/trust"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store"
)

// requestLife is how long a request may wait until an order is made of it.
const requestLife = time.Hour

// workers is how many records are advanced at once.
const workers = 16

// Enrolled is what the gateway must know of a cluster.
type Enrolled struct {
	Audience   bundle.Audience
	Epoch      uint64
	ReceiptKey *bundle.Key
}

// Clusters knows the clusters that have enrolled.
type Clusters interface {
	// Enrolled returns ok false for a cluster that is unknown or has not enrolled.
	Enrolled(ctx context.Context, cluster string) (e Enrolled, ok bool, err error)
}

// Inspector hands an inspection to a cluster's spoke: sent is false where the spoke is not connected or busy, able is false where it
// is there and would not understand.
type Inspector interface {
	Inspect(ctx context.Context, cluster string, inspect *writv1.Inspect) (sent, able bool)
}

// Rehearser hands a signed rehearsal to a cluster's spoke: sent is false where the spoke is not connected or busy, able is false
// where it is there and would not understand.
type Rehearser interface {
	Rehearse(ctx context.Context, cluster string, envelope []byte) (sent, able bool)
}

// Policies knows the policies in force, and the fleet that they speak about.
type Policies interface {
	// Policies returns nil while they are not yet known.
	Policies() *policy.Set
	// Labels are those of a declared cluster, not to be changed; Clusters is how many are declared.
	Labels(cluster string) map[string]string
	Clusters() int
}

// Templates knows the actions of this site's own.
type Templates interface {
	// Template returns what an action is, or why nobody can ask for it. ready is false while that is not known.
	Template(name string) (d template.Definition, ready bool, err error)
}

// Auditor appends to the audit log; when it returns, all entries are durable.
type Auditor interface {
	Append(ctx context.Context, entries ...auditlog.Entry) (indices []uint64, err error)
}

// Projector is told of every record after it was committed. It must not block.
type Projector interface {
	Project(r Record)
}

// Undoer asks for the inverse of what was done, by a request of its own. Asking again changes nothing.
type Undoer interface {
	// Undo returns the name of the request; empty where it cannot be made.
	Undo(ctx context.Context, of Request, trace string, inverse catalogue.Undo, why string) (name string, err error)
}

// Signers knows the key to sign with for a cluster: one that its spoke believes.
type Signers interface {
	SignerFor(cluster string) (bundle.Signer, error)
}

// Limits bound what may be under way.
type Limits struct {
	// QueuePerCluster is how many bundles may be signed and not yet taken.
	QueuePerCluster uint64
	// PerMinute is how many requests of one agent class (or of all people) pass in a minute.
	PerMinute int
	// RelaxedFor is how long what an agent relaxed stays so, from its receipt on. What was ordered before it was changed keeps its own.
	RelaxedFor time.Duration
	// NodesOutPercent is how large a share of a cluster's nodes agents may have out of use at once; it is always one.
	NodesOutPercent int
}

// DefaultLimits suit a fleet in daily use.
var DefaultLimits = Limits{QueuePerCluster: 256, PerMinute: 60, RelaxedFor: time.Hour, NodesOutPercent: 25}

// Parts are what a gateway is made of.
type Parts struct {
	Store     store.Store
	Clusters  Clusters
	Inspector Inspector
	Rehearser Rehearser
	Policies  Policies
	Templates Templates // nil has none
	Audit     Auditor
	Projector Projector
	Undoer    Undoer       // nil undoes nothing
	Announcer Announcer    // nil tells nobody before the next heartbeat
	Meter     Meter        // nil counts nothing
	Root      trust.Source // says who may sign orders of tier high
	Signers   Signers
	Limits    Limits
	Groups    []Group  // who is asked to approve, in order
	Notifier  Notifier // nil tells nobody
	Tracer    trace.Tracer
	Log       *slog.Logger
	Now       func() time.Time
}

// Gateway advances records. Make it with New, start it with Run.
type Gateway struct {
	Parts
	log      *slog.Logger
	now      func() time.Time
	work     workqueue.TypedRateLimitingInterface[string]
	mu       sync.Mutex // guards the maps below
	wake     map[string]chan struct{}
	signing  map[string]*sync.Mutex // one signer per cluster at a time: the sequence has no gaps
	limiters map[string]*rate.Limiter
	logged   map[string]map[string]uint64 // what open records have on the audit log, by record
	pulse    pulse

	freezing  sync.Mutex             // held by the one who changes what is frozen
	signers   sync.RWMutex           // read while a bundle is signed and committed
	stopped   atomic.Pointer[frozen] // what may not be signed; nil until it is known
	published atomic.Pointer[frozen] // what the heads say; nil until it is known
}

// New makes a gateway. It does nothing until Run.
func New(parts Parts) *Gateway {
	return &Gateway{
		Parts: parts, log: parts.Log, now: parts.Now,
		work: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 30*time.Second)),
		wake:     map[string]chan struct{}{},
		signing:  map[string]*sync.Mutex{},
		limiters: map[string]*rate.Limiter{},
		logged:   map[string]map[string]uint64{},
	}
}

// Run advances records until the context ends. Every record that was open when the hub stopped is taken up again.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.resume(ctx); err != nil {
		return err
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for g.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	g.work.ShutDown()
	running.Wait()
	return nil
}

// Reconsider has every open record looked at again.
func (g *Gateway) Reconsider(ctx context.Context) error { return g.resume(ctx) }

func (g *Gateway) resume(ctx context.Context) error {
	return each(ctx, g.Store, openPrefix, func(item store.Item) error {
		g.work.Add(item.Key[len(openPrefix):])
		return nil
	})
}

// next advances one record; false once the queue is shut down.
func (g *Gateway) next(ctx context.Context) bool {
	id, shutdown := g.work.Get()
	if shutdown {
		return false
	}
	defer g.work.Done(id)
	end := g.pulse.begin(id, g.now())
	until, err := g.advance(ctx, id)
	end()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		g.log.WarnContext(ctx, "will try again", "request", id, "error", err)
		_, _ = g.Show(ctx, id) // a commit that failed may have been made all the same
		g.work.AddRateLimited(id)
	default:
		g.work.Forget(id)
		if !until.IsZero() {
			g.work.AddAfter(id, max(0, until.Sub(g.now())))
		}
	}
	return true
}
