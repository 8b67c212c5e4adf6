package intake

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// projectors is how many statuses are written at once.
const projectors = 4

// Decisions knows the decisions that requests name, and takes down on them what came of it.
type Decisions interface {
	// Learn returns what people see of the decision of a record's request; nil where it has none of its own.
	Learn(ctx context.Context, r *gateway.Record) (*v1alpha1.DecisionStatus, error)
}

// Projector writes the gateway's records to the status of the objects in which they were asked for. Only the newest record
// of a request is kept: what was overtaken while the API server was slow is never written.
type Projector struct {
	// Presence is told from receipts whose credentials are issued; nil is nobody. Set it before Run.
	Presence  *Presence
	client    client.Client
	decisions Decisions
	log       *slog.Logger
	work      workqueue.TypedRateLimitingInterface[string]
	mu        sync.Mutex // guards newest
	newest    map[string]gateway.Record
}

// NewProjector makes a projector; the intake gives it its client.
func NewProjector(decisions Decisions, log *slog.Logger) *Projector {
	return &Projector{decisions: decisions, log: log, newest: map[string]gateway.Record{},
		work: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 10*time.Second))}
}

// What is overtaken while it waits to be written is never written, and the API server has a fraction of the work.
const (
	// passing is how long the status of an action on the move waits at least, and passingAtMost at most, however many there are.
	passing       = 250 * time.Millisecond
	passingAtMost = 2 * time.Second
	// perSecond is about how many statuses of actions on the move are written a second: each costs the hub's API server as much as
	// the request itself, and an action that others delay passes through more of them.
	perSecond = 10
)

// passingFor is how long a status waits where so many do: a quarter of a second in daily use.
func passingFor(waiting int) time.Duration {
	return min(max(passing, time.Duration(waiting)*time.Second/perSecond), passingAtMost)
}

// Project has a record written: at once where somebody is asked for a word, which nobody has said yet, or nothing more will come; else
// soon. It does not block.
func (p *Projector) Project(r gateway.Record) {
	p.mu.Lock()
	p.newest[r.Request.ID] = r
	wait := passingFor(len(p.newest))
	p.mu.Unlock()
	if p.Presence != nil && r.Receipt != nil && r.Outcome == nil {
		p.tellIssued(r.Request.Cluster, r.Receipt)
	}
	phase, _ := r.Phase()
	if asked := phase == v1alpha1.PhaseAwaitingApproval && len(r.Words) == 0; asked || phase.Final() {
		p.work.Add(r.Request.ID)
		return
	}
	p.work.AddAfter(r.Request.ID, wait)
}

// tellIssued tells from a receipt whether its action had a credential; where it ended before it asked for one, that says nothing.
func (p *Projector) tellIssued(cluster string, receipt *bundle.Receipt) {
	switch {
	case receipt.Refusal != nil && receipt.Refusal.Reason == refusal.CredentialRefused:
		p.Presence.Issued(cluster, "", receipt.Refusal.Detail)
	case receipt.Credential != "":
		p.Presence.Issued(cluster, receipt.Credential, "")
	}
}

// Run writes until the context ends. What is not written by then is written after the restart.
func (p *Projector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for range projectors {
		running.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	p.work.ShutDown()
	running.Wait()
	return nil
}

func (p *Projector) next(ctx context.Context) bool {
	id, shutdown := p.work.Get()
	if shutdown {
		return false
	}
	defer p.work.Done(id)
	p.mu.Lock()
	r, ok := p.newest[id]
	delete(p.newest, id)
	p.mu.Unlock()
	if !ok {
		return true
	}
	err := p.write(ctx, &r)
	if client.IgnoreNotFound(err) == nil {
		p.work.Forget(id)
		return true
	}
	if ctx.Err() == nil {
		p.log.WarnContext(ctx, "status not written, will try again", "request", r.Request.Name, "error", err)
	}
	p.mu.Lock()
	if _, newer := p.newest[id]; !newer {
		p.newest[id] = r
	}
	p.mu.Unlock()
	p.work.AddRateLimited(id)
	return true
}

// write patches the whole status. The patch names the UID, so that it cannot hit a later object of the same name.
func (p *Projector) write(ctx context.Context, r *gateway.Record) error {
	status := statusOf(r)
	if r.Request.DecisionID != "" {
		var err error
		if status.Decision, err = p.decisions.Learn(ctx, r); err != nil {
			return err
		}
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"uid": r.Request.ID},
		"status":   status,
	})
	if err != nil {
		return err
	}
	object := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: r.Request.Namespace, Name: r.Request.Name}}
	return p.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}
