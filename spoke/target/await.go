package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/writ-dev/writ/api/catalogue"
)

// pause is the least time between two attempts to look again.
const pause = time.Second

// Await watches the target until the prediction holds, and returns at once where it does already. At until, or when the
// target is gone, it returns false with what was seen last. An error means that nothing can be said: the context ended, or
// the API server did not answer once.
func (r *Reader) Await(ctx context.Context, t catalogue.Target, p catalogue.Prediction, until time.Time) (bool, string, error) {
	kind, _, err := r.interfaceOf(t)
	if err != nil {
		return false, "", err
	}
	a := &awaiting{reader: r, kind: kind, target: t, prediction: p}
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		err := a.look(bounded)
		switch {
		case a.held:
			return true, a.seen, nil
		case errors.Is(err, ErrNotFound):
			return false, err.Error(), nil
		case err != nil && bounded.Err() == nil:
			a.fault = err
		}
		select {
		case <-time.After(pause):
		case <-bounded.Done():
			if ctx.Err() != nil {
				return false, a.seen, ctx.Err()
			}
			if a.seen == "" {
				return false, "", fmt.Errorf("%s was never seen: %w", t, errors.Join(a.fault, bounded.Err()))
			}
			return false, a.seen, nil
		}
	}
}

// awaiting is one wait: what it looks for and what it last saw.
type awaiting struct {
	reader     *Reader
	kind       catalogue.Kind
	target     catalogue.Target
	prediction catalogue.Prediction
	held       bool
	seen       string
	fault      error
}

// look reads the target and follows it until the prediction holds or the watch ends. The next look begins anew, so that
// nothing that happened in between is missed, whatever ended the watch.
func (a *awaiting) look(ctx context.Context) error {
	now, err := a.reader.get(ctx, a.target)
	if err != nil {
		return err
	}
	if a.judge(now); a.held {
		return nil
	}
	_, client, err := a.reader.interfaceOf(a.target)
	if err != nil {
		return err
	}
	events, err := client.Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", a.target.Name).String(),
		ResourceVersion: now.ResourceVersion,
	})
	if err != nil {
		return err
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		if err := a.take(event); err != nil || a.held {
			return err
		}
	}
	return nil
}

func (a *awaiting) take(event watch.Event) error {
	switch event.Type {
	case watch.Deleted:
		return fmt.Errorf("%w: %s was deleted", ErrNotFound, a.target)
	case watch.Error:
		return apierrors.FromObject(event.Object)
	case watch.Bookmark:
		return nil
	}
	object, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	w, err := workloadOf(a.kind, object.Object)
	if err != nil {
		return err
	}
	a.judge(w)
	return nil
}

func (a *awaiting) judge(w *workload) { a.held, a.seen = a.prediction.Holds(w.facts()) }
