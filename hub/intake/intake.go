// Package intake is the hub's front door for people and agent classes: it watches what they declare on the hub's API
// server, copies each request and each word into the gateway once, and writes back the status.
//
// What it reads is a spec; it never reads a status back to decide anything.
package intake

import (
	"context"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// Gateway takes requests and words in.
type Gateway interface {
	Submit(ctx context.Context, request gateway.Request) error
	Hear(ctx context.Context, requestID string, word gateway.Word) error
	// Show has the projector told of the record as it stands; false where there is none.
	Show(ctx context.Context, requestID string) (bool, error)
}

// Register takes a cluster's join token in.
type Register interface {
	Register(ctx context.Context, cluster, tokenSHA256 string, issuedAt time.Time) error
}

// Intake watches and projects. Make it with New, start it with Run.
type Intake struct {
	manager   manager.Manager
	client    client.Client
	gateway   Gateway
	register  Register
	projector *Projector
	policies  *Policies
	log       *slog.Logger
}

// New makes an intake on the hub's API server. The projector and policies are those that the gateway was made with.
func New(config *rest.Config, gw Gateway, register Register, projector *Projector, policies *Policies, log *slog.Logger) (*Intake, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server's own priority and fairness is the limit
	m, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logr.FromSlogHandler(log.Handler()),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
	})
	if err != nil {
		return nil, err
	}
	i := &Intake{manager: m, client: m.GetClient(), gateway: gw, register: register, projector: projector, policies: policies, log: log}
	projector.client = m.GetClient()
	return i, i.watch()
}

// Run watches until the context ends.
func (i *Intake) Run(ctx context.Context) error { return i.manager.Start(ctx) }

// watch joins each kind to its reconciler. A status that the hub wrote itself wakes nobody.
func (i *Intake) watch() error {
	if err := i.manager.Add(manager.RunnableFunc(func(ctx context.Context) error {
		_, err := i.takePolicies(ctx, reconcile.Request{}) // no policy at all is known from the start, too
		return err
	})); err != nil {
		return err
	}
	asked := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	for _, w := range []struct {
		object client.Object
		take   reconcile.Func
		when   predicate.Predicate
		atOnce int
	}{
		{&v1alpha1.ActionRequest{}, i.takeRequest, asked, 8},
		{&v1alpha1.Approval{}, i.takeApproval, asked, 8},
		{&v1alpha1.ActionPolicy{}, i.takePolicies, predicate.GenerationChangedPredicate{}, 1},
		{&v1alpha1.Cluster{}, i.takeCluster, predicate.GenerationChangedPredicate{}, 1},
	} {
		err := ctrl.NewControllerManagedBy(i.manager).For(w.object).WithEventFilter(w.when).
			WithOptions(controller.Options{MaxConcurrentReconciles: w.atOnce, SkipNameValidation: new(true)}).Complete(w.take)
		if err != nil {
			return err
		}
	}
	return nil
}

func (i *Intake) takeRequest(ctx context.Context, key reconcile.Request) (reconcile.Result, error) {
	var object v1alpha1.ActionRequest
	if err := i.client.Get(ctx, key.NamespacedName, &object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if known, err := i.gateway.Show(ctx, string(object.UID)); known || err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, i.gateway.Submit(ctx, requestOf(&object))
}

func (i *Intake) takeApproval(ctx context.Context, key reconcile.Request) (reconcile.Result, error) {
	var object v1alpha1.Approval
	if err := i.client.Get(ctx, key.NamespacedName, &object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	var request v1alpha1.ActionRequest
	err := i.client.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Spec.Request}, &request)
	if apierrors.IsNotFound(err) {
		i.log.WarnContext(ctx, "approval of no request", "approval", key.String(), "request", object.Spec.Request)
		return reconcile.Result{RequeueAfter: time.Minute}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, i.gateway.Hear(ctx, string(request.UID), wordOf(&object))
}

func (i *Intake) takePolicies(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.ActionPolicyList
	if err := i.client.List(ctx, &list); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, i.policies.set(list.Items)
}

// Refresh takes a cluster's declaration in, as the API server has it now.
func (i *Intake) Refresh(ctx context.Context, cluster string) error {
	var object v1alpha1.Cluster
	if err := i.manager.GetAPIReader().Get(ctx, client.ObjectKey{Name: cluster}, &object); err != nil {
		return err
	}
	return i.register.Register(ctx, object.Name, object.Spec.Join.SHA256, object.Spec.Join.IssuedAt.Time)
}

func (i *Intake) takeCluster(ctx context.Context, key reconcile.Request) (reconcile.Result, error) {
	var object v1alpha1.Cluster
	if err := i.client.Get(ctx, key.NamespacedName, &object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	join := object.Spec.Join
	return reconcile.Result{}, i.register.Register(ctx, object.Name, join.SHA256, join.IssuedAt.Time)
}
