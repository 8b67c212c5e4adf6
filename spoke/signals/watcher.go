// Package signals tells the hub what goes wrong in this cluster, in the closed vocabulary of api/signal.
//
// It watches Deployments, judges each by a pure function, and remembers only those whose rollout is on its way. It reads
// pods only for these, ever more rarely. It reports one signal a cause, changes nothing in the cluster, and takes nothing
// that a pod says for more than a text.
package signals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/signal"
)

const (
	// page bounds one answer to a list.
	page = 100
	// reportWithin bounds one report; what was not reported is reported at the next sighting.
	reportWithin = 5 * time.Second
	// looksPerTick bounds how many Deployments have their pods read at once, and tick how often.
	looksPerTick = 10
	tick         = 250 * time.Millisecond
)

// Reporter takes signals to the hub. The signal's Cluster is empty: the hub knows who reports.
type Reporter interface {
	Report(ctx context.Context, s signal.Signal) error
}

// Watcher watches one cluster. Make it with New; only Run may be running at a time, once.
type Watcher struct {
	client   dynamic.Interface
	reporter Reporter
	tracer   trace.Tracer
	log      *slog.Logger
	now      func() time.Time

	rollouts rollouts
	cases    cases
}

// New makes a watcher. config is the spoke's own identity.
func New(config *rest.Config, reporter Reporter, tracer trace.Tracer, log *slog.Logger, now func() time.Time) (*Watcher, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	return &Watcher{client: client, reporter: reporter, tracer: tracer, log: log, now: now,
		rollouts: rollouts{}, cases: cases{}}, nil
}

// Run watches until the context ends. What fails is tried again, ever more rarely.
func (w *Watcher) Run(ctx context.Context) error {
	backoff := patience()
	for ctx.Err() == nil {
		version, err := w.list(ctx)
		for err == nil {
			var moved string
			moved, err = w.watch(ctx, version)
			if moved != version {
				version, backoff = moved, patience()
			}
			if err == nil && !pause(ctx, tick) {
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // being stopped is no fault
		}
		if !expired(err) {
			w.log.WarnContext(ctx, "deployments cannot be watched, will try again", "error", err)
		}
		pause(ctx, backoff.Step())
	}
	return nil
}

func patience() *wait.Backoff {
	return &wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.2, Steps: 10, Cap: 30 * time.Second}
}

// pause reports false where the context ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func expired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// list takes in every Deployment, page by page, and forgets those that are gone. It returns where a watch begins.
func (w *Watcher) list(ctx context.Context) (version string, err error) {
	there := map[string]bool{}
	options := metav1.ListOptions{Limit: page}
	for {
		found, err := w.client.Resource(deployments).List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range found.Items {
			there[string(found.Items[i].GetUID())] = true
			w.take(&found.Items[i])
		}
		version = found.GetResourceVersion()
		if options.Continue = found.GetContinue(); options.Continue == "" {
			break
		}
	}
	for uid := range w.rollouts {
		if !there[uid] {
			w.forget(uid)
		}
	}
	return version, nil
}

// watch takes in what changes from version on, and looks at the pods of rollouts that are due, until the watch ends. It
// returns how far it came.
func (w *Watcher) watch(ctx context.Context, version string) (string, error) {
	events, err := w.client.Resource(deployments).Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	if err != nil {
		return version, err
	}
	defer events.Stop()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return version, ctx.Err()
		case <-ticker.C:
			w.lookAtDue(ctx)
		case event, ok := <-events.ResultChan():
			if !ok {
				return version, nil
			}
			if event.Type == watch.Error {
				return version, apierrors.FromObject(event.Object)
			}
			object, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				return version, errors.New("the watch answered with something else than an object")
			}
			version = object.GetResourceVersion()
			switch event.Type {
			case watch.Deleted:
				w.forget(string(object.GetUID()))
			case watch.Added, watch.Modified:
				w.take(object)
			}
		}
	}
}

// take remembers a Deployment as long as its rollout is on its way.
func (w *Watcher) take(object *unstructured.Unstructured) {
	d, err := seenOf(object.Object)
	if err != nil {
		w.log.Warn("deployment cannot be judged", "namespace", object.GetNamespace(), "name", object.GetName(), "error", err)
		return
	}
	switch {
	case d.rolling():
		w.rollouts.take(d, w.now())
	case d.ObservedGeneration >= d.Generation:
		w.forget(d.UID)
	}
}

func (w *Watcher) forget(uid string) {
	delete(w.rollouts, uid)
	delete(w.cases, uid)
}
