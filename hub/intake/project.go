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

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// projectors is how many statuses are written at once.
const projectors = 4

// Projector writes the gateway's records to the status of the objects in which they were asked for. Only the newest record
// of a request is kept: what was overtaken while the API server was slow is never written.
type Projector struct {
	client client.Client
	log    *slog.Logger
	work   workqueue.TypedRateLimitingInterface[string]
	mu     sync.Mutex // guards newest
	newest map[string]gateway.Record
}

// NewProjector makes a projector; the intake gives it its client.
func NewProjector(log *slog.Logger) *Projector {
	return &Projector{log: log, newest: map[string]gateway.Record{},
		work: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 10*time.Second))}
}

// Project has a record written, soon. It does not block.
func (p *Projector) Project(r gateway.Record) {
	p.mu.Lock()
	p.newest[r.Request.ID] = r
	p.mu.Unlock()
	p.work.Add(r.Request.ID)
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
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"uid": r.Request.ID},
		"status":   statusOf(r),
	})
	if err != nil {
		return err
	}
	object := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: r.Request.Namespace, Name: r.Request.Name}}
	return p.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}
