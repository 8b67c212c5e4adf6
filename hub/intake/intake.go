// Package intake is the hub's front door for people and agent classes: it watches what they declare on the hub's API
// server, copies each request and each word into the gateway once, and writes back the status.
//
// What it reads is a spec; no status that it reads back ever leads to an action.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
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
	// Freeze puts into force what is declared to be frozen, all of it.
	Freeze(ctx context.Context, declared []gateway.Freeze) error
}

// Register takes in what is declared about clusters.
type Register interface {
	Register(ctx context.Context, cluster string, spec v1alpha1.ClusterSpec) error
	// Revoke ends a cluster's identity for good, and Forget gives its name free.
	Revoke(ctx context.Context, cluster, reason string) error
	Forget(ctx context.Context, cluster string) error
	// Known are the clusters that were registered and not forgotten.
	Known(ctx context.Context) ([]string, error)
}

// Intake watches and projects. Make it with New, start it with Run.
type Intake struct {
	manager   manager.Manager
	client    client.Client
	gateway   Gateway
	register  Register
	projector *Projector
	policies  *Policies
	templates *Templates
	log       *slog.Logger
}

// Declared is what the intake keeps of what people declare, for the gateway that was made with it.
type Declared struct {
	Policies  *Policies
	Templates *Templates
}

// New makes an intake on the hub's API server. The projector, the undoer and what is declared are those that the gateway was made with.
func New(config *rest.Config, gw Gateway, register Register, projector *Projector, undoer *Undoer, declared Declared, log *slog.Logger) (*Intake, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, certificatesv1.AddToScheme, authorizationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server's own priority and fairness is the limit
	m, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logr.FromSlogHandler(log.Handler()),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
			&certificatesv1.CertificateSigningRequest{}: {Field: fields.OneTermEqualSelector("spec.signerName", v1alpha1.OperatorSigner)}, // no others: they are not ours
		}},
	})
	if err != nil {
		return nil, err
	}
	i := &Intake{manager: m, client: m.GetClient(), gateway: gw, register: register, projector: projector,
		policies: declared.Policies, templates: declared.Templates, log: log}
	projector.client, undoer.client = m.GetClient(), m.GetClient()
	return i, i.watch()
}

// Manager is what others watch the hub's API server with, by the same cache.
func (i *Intake) Manager() manager.Manager { return i.manager }

// Run watches until the context ends.
func (i *Intake) Run(ctx context.Context) error { return i.manager.Start(ctx) }

// Ready is an error until all that people declared has been read once. It stays ready while the API server is away.
func (i *Intake) Ready(ctx context.Context) error {
	for kind, object := range map[string]client.Object{"ActionRequest": &v1alpha1.ActionRequest{}, "Approval": &v1alpha1.Approval{},
		"ActionPolicy": &v1alpha1.ActionPolicy{}, "ActionTemplate": &v1alpha1.ActionTemplate{}, "Cluster": &v1alpha1.Cluster{}, "Freeze": &v1alpha1.Freeze{}} {
		informer, err := i.manager.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("the objects of kind %s: %w", kind, err)
		}
		if !informer.HasSynced() {
			return fmt.Errorf("the objects of kind %s are being read", kind)
		}
	}
	if _, ready, _ := i.templates.Template(""); i.policies.Policies() == nil || !ready {
		return errors.New("the policies and templates are being read")
	}
	return nil
}

// watch joins each kind to its reconciler. A status that the hub wrote itself wakes nobody.
func (i *Intake) watch() error {
	if err := i.manager.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if _, err := i.takePolicies(ctx, reconcile.Request{}); err != nil { // no policy at all is known from the start, too
			i.log.WarnContext(ctx, "policies", "error", err) // it comes again with the first policy
		}
		if _, err := i.takeTemplates(ctx, reconcile.Request{}); err != nil {
			i.log.WarnContext(ctx, "templates", "error", err)
		}
		i.readFreezes(ctx)
		if err := i.forgetDeleted(ctx); err != nil {
			i.log.ErrorContext(ctx, "clusters that were deleted while the hub was away are not retired yet; the next start does it", "error", err)
		}
		return nil
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
		{&v1alpha1.ActionTemplate{}, i.takeTemplates, predicate.GenerationChangedPredicate{}, 1},
		{&v1alpha1.Freeze{}, i.takeFreezes, predicate.GenerationChangedPredicate{}, 1},
		{&v1alpha1.Cluster{}, i.takeCluster, predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}), 1},
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
	if object.Status.Phase.Final() {
		// It ended, and the store knows nothing of it: the hub was restored from a backup that is older. What the status says is
		// left as it is, for people to read; that decides nothing but to do nothing.
		return reconcile.Result{}, nil
	}
	request := requestOf(&object)
	if err := i.inStead(ctx, &object, &request); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, i.gateway.Submit(ctx, request)
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

// takePolicies puts the policies in force. The first time, the fleet that they speak about is known before them.
func (i *Intake) takePolicies(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	if i.policies.Policies() == nil {
		var fleet v1alpha1.ClusterList
		if err := i.client.List(ctx, &fleet); err != nil {
			return reconcile.Result{}, err
		}
		for _, cluster := range fleet.Items {
			i.policies.declare(cluster.Name, cluster.Labels)
		}
	}
	var list v1alpha1.ActionPolicyList
	if err := i.client.List(ctx, &list); err != nil {
		return reconcile.Result{}, err
	}
	if err := i.policies.set(list.Items); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, i.tellReady(ctx, list.Items)
}

// Refresh takes a cluster's declaration in, as the API server has it now.
func (i *Intake) Refresh(ctx context.Context, cluster string) error {
	var object v1alpha1.Cluster
	if err := i.manager.GetAPIReader().Get(ctx, client.ObjectKey{Name: cluster}, &object); err != nil {
		return err
	}
	return i.declared(ctx, &object)
}

func (i *Intake) takeCluster(ctx context.Context, key reconcile.Request) (reconcile.Result, error) {
	var object v1alpha1.Cluster
	if err := i.client.Get(ctx, key.NamespacedName, &object); err != nil {
		if apierrors.IsNotFound(err) {
			i.policies.forget(key.Name)
			err = i.register.Forget(ctx, key.Name)
		}
		return reconcile.Result{}, err
	}
	i.policies.declare(object.Name, object.Labels)
	return reconcile.Result{}, i.declared(ctx, &object)
}

// declared takes in what a Cluster says: who may join, or that its identity has ended.
func (i *Intake) declared(ctx context.Context, object *v1alpha1.Cluster) error {
	if object.Spec.Revoked == nil {
		return i.register.Register(ctx, object.Name, object.Spec)
	}
	return i.register.Revoke(ctx, object.Name, object.Spec.Revoked.Reason)
}

// forgetDeleted retires the clusters that were deleted while no hub was there to see it.
func (i *Intake) forgetDeleted(ctx context.Context) error {
	known, err := i.register.Known(ctx)
	if err != nil {
		return err
	}
	for _, name := range known {
		err := i.client.Get(ctx, client.ObjectKey{Name: name}, &v1alpha1.Cluster{})
		if apierrors.IsNotFound(err) {
			err = i.register.Forget(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
