package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// Gateway takes back what was asked for and is not signed yet.
type Gateway interface {
	Withdraw(ctx context.Context, requestID, why string) error
}

// Meter counts.
type Meter interface {
	// RolloutEnded hears of each rollout that ended, once or, where the hub was killed then, twice.
	RolloutEnded(phase string)
}

// Parts are what a controller is made of.
type Parts struct {
	Gateway Gateway
	Meter   Meter // nil counts nothing
	Tracer  trace.Tracer
	Log     *slog.Logger
	Now     func() time.Time
}

// Controller does what Next says.
type Controller struct {
	Parts
	client client.Client
}

// Watch has the manager run a controller; it works with the manager's client and cache.
func Watch(m manager.Manager, parts Parts) error {
	c := &Controller{Parts: parts, client: m.GetClient()}
	return ctrl.NewControllerManagedBy(m).For(&v1alpha1.Rollout{}).
		Watches(&v1alpha1.ActionRequest{}, handler.EnqueueRequestsFromMapFunc(rolloutOf)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2, SkipNameValidation: new(true)}).Complete(reconcile.Func(c.reconcile))
}

// rolloutOf names the rollout that a request belongs to: the one in it, or the one in the name of the request that it undoes.
func rolloutOf(_ context.Context, object client.Object) []reconcile.Request {
	r, ok := object.(*v1alpha1.ActionRequest)
	if !ok {
		return nil
	}
	name := ""
	switch {
	case r.Spec.Rollout != nil:
		name = r.Spec.Rollout.Name
	case r.Spec.Undoes != nil:
		name, _, _ = strings.Cut(r.Spec.Undoes.Name, ".")
	}
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: r.Namespace, Name: name}}}
}

func (c *Controller) reconcile(ctx context.Context, key reconcile.Request) (reconcile.Result, error) {
	var object v1alpha1.Rollout
	if err := c.client.Get(ctx, key.NamespacedName, &object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !object.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	facts, err := c.gather(ctx, &object)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := Next(facts)
	if plan.Status.StartedAt != nil && plan.Status.Traceparent == "" {
		plan.Status.Traceparent = c.begin(&object)
	}
	if err := c.write(ctx, &object, plan.Status); err != nil {
		if apierrors.IsConflict(err) { // what was read is older than what was written: look again
			return reconcile.Result{RequeueAfter: 50 * time.Millisecond}, nil
		}
		return reconcile.Result{}, err
	}
	if err := c.act(ctx, &object, plan); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: plan.Again}, nil
}

// gather reads what the decision is made on, from the cache. What ended well and is not to be undone is not read again.
func (c *Controller) gather(ctx context.Context, object *v1alpha1.Rollout) (Facts, error) {
	f := Facts{Rollout: object, Requests: map[string]*v1alpha1.ActionRequest{}, Now: c.Now()}
	if len(object.Status.Waves) == 0 {
		var clusters v1alpha1.ClusterList
		if err := c.client.List(ctx, &clusters); err != nil {
			return f, err
		}
		f.Clusters = Select(object.Spec.Selector, clusters.Items)
		return f, nil
	}
	for _, wave := range object.Status.Waves {
		for _, one := range wave.Clusters {
			for _, name := range wanted(object, one) {
				var r v1alpha1.ActionRequest
				err := c.client.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: name}, &r)
				if client.IgnoreNotFound(err) != nil {
					return f, err
				}
				if err == nil {
					f.Requests[name] = &r
				}
			}
		}
	}
	return f, nil
}

// wanted are the names of the requests that say something new about a cluster.
func wanted(object *v1alpha1.Rollout, one v1alpha1.RolloutCluster) (names []string) {
	name := v1alpha1.RequestName(object.Name, one.Name)
	if !one.Phase.Final() || one.Undo == "" && object.Spec.OnFailure == v1alpha1.FailureUndo {
		names = append(names, name)
	}
	if !one.Undo.Final() {
		names = append(names, v1alpha1.UndoName(name))
	}
	return names
}

// write writes the status where it differs, on condition that nobody wrote it since it was read.
func (c *Controller) write(ctx context.Context, object *v1alpha1.Rollout, status v1alpha1.RolloutStatus) error {
	if equality.Semantic.DeepEqual(object.Status, status) {
		return nil
	}
	before := object.DeepCopy()
	object.Status = status
	if err := c.client.Status().Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	c.tell(before, object)
	return nil
}

// act does the rest of a plan. Each part may be done again: a request exists once, and is withdrawn once.
func (c *Controller) act(ctx context.Context, object *v1alpha1.Rollout, plan Plan) error {
	for _, r := range plan.Withdraw {
		if err := c.Gateway.Withdraw(ctx, string(r.UID), "rollout "+object.Name+": "+plan.Status.Message); err != nil {
			return err
		}
	}
	for _, r := range plan.Ask {
		r.Spec.Traceparent = plan.Status.Traceparent
		if err := c.client.Create(ctx, r); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("asking for %s: %w", r.Name, err)
		}
	}
	return nil
}

// tell logs, counts and traces what a new status says. A wave is a span of the trace in which its requests are.
func (c *Controller) tell(before, after *v1alpha1.Rollout) {
	if before.Status.Phase != after.Status.Phase {
		c.Log.Info("rollout", "rollout", after.Namespace+"/"+after.Name, "phase", after.Status.Phase, "message", after.Status.Message)
	}
	if c.Meter != nil && after.Status.Phase.Final() && !before.Status.Phase.Final() {
		c.Meter.RolloutEnded(string(after.Status.Phase))
	}
	for i, wave := range after.Status.Waves {
		known := i < len(before.Status.Waves) && before.Status.Waves[i].FinishedAt != nil
		if known || wave.FinishedAt == nil || wave.StartedAt == nil {
			continue
		}
		_, span := c.Tracer.Start(parent(after.Status.Traceparent), "writ.rollout.wave", trace.WithTimestamp(wave.StartedAt.Time),
			trace.WithAttributes(attribute.Int("writ.wave", i+1), attribute.Int("writ.clusters", len(wave.Clusters))))
		if after.Status.Failed > before.Status.Failed {
			span.SetStatus(codes.Error, after.Status.Message)
		}
		span.End(trace.WithTimestamp(wave.FinishedAt.Time))
	}
}

// begin opens the rollout's span and returns its traceparent.
func (c *Controller) begin(object *v1alpha1.Rollout) string {
	ctx, span := c.Tracer.Start(context.Background(), "writ.rollout", trace.WithTimestamp(c.Now()),
		trace.WithAttributes(attribute.String("writ.rollout", object.Namespace+"/"+object.Name), attribute.String("writ.action", object.Spec.Request.Action)))
	span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

func parent(traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
}
