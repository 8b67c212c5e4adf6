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

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
)

// pause is the least time between two attempts to look again.
const pause = time.Second

// Await watches until an order's prediction holds, and returns at once where it does already; a prediction that must last is
// judged when the time is over. At until, or when the target is gone where that was not predicted, it returns false with what
// was seen last. An error means that nothing can be said: the context ended, or the API server did not answer once.
func (r *Reader) Await(ctx context.Context, order bundle.Order, until time.Time) (bool, string, error) {
	action, c, ok := order.Case()
	if !ok {
		return false, "", fmt.Errorf("%w: the catalogue has no %q", ErrNotFound, order.Action)
	}
	a := &awaiting{reader: r, action: action, c: c, target: order.Target, prediction: order.Prediction}
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		err := a.look(bounded)
		switch {
		case a.held && !a.prediction.Lasts:
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
			if a.prediction.Lasts && a.held {
				return true, a.seen, nil
			}
			if a.seen == "" {
				return false, "", fmt.Errorf("%s was never seen: %w", a.target, errors.Join(a.fault, bounded.Err()))
			}
			return false, a.seen, nil
		}
	}
}

// awaiting is one wait: what it looks for and what it last saw.
type awaiting struct {
	reader     *Reader
	action     *catalogue.Action
	c          catalogue.Case
	target     catalogue.Target
	prediction catalogue.Prediction
	held       bool
	seen       string
	fault      error
}

// look reads the target and follows it until the prediction holds or the watch ends. The next look begins anew, so that
// nothing that happened in between is missed, whatever ended the watch.
func (a *awaiting) look(ctx context.Context) error {
	if a.action.See != nil || a.prediction.Expect == catalogue.Gone {
		return a.see(ctx)
	}
	now, err := a.reader.get(ctx, a.action.Kinds, a.target)
	if err != nil {
		return err
	}
	if a.judge(now); a.held {
		return nil
	}
	_, client, err := a.reader.interfaceOf(a.action.Kinds, a.target)
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

// see looks once, at everything that the action looks at. Nothing is watched: it may be about many objects, and the spoke
// needs no right to watch them.
func (a *awaiting) see(ctx context.Context) error {
	facts, err := a.reader.see(ctx, a.action, a.c)
	if err != nil {
		a.held = false
		return err
	}
	a.held, a.seen = a.prediction.Holds(facts)
	if facts.Gone && a.prediction.Expect != catalogue.Gone {
		return fmt.Errorf("%w: %s was deleted", ErrNotFound, a.target)
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
	w, err := workloadOf(a.c.Kind, object.Object)
	if err != nil {
		return err
	}
	a.judge(w)
	return nil
}

func (a *awaiting) judge(w *workload) { a.held, a.seen = a.prediction.Holds(w.facts()) }
