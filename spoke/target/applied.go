package target

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
)

// Applied reports whether an order's operation has reached the cluster. It serves after a crash.
//
// A patch is found by the order's annotation, as long as no later order has changed the object, or by its field manager, used
// for that order alone, as long as nobody else has set every field that it set;
// a created object by its name and its annotation; a delete by its target that is terminating or gone, which somebody else
// may have done as well. ErrNotFound where the target of a patch is gone.
func (r *Reader) Applied(ctx context.Context, order bundle.Order, fieldManager string) (bool, error) {
	action, c, ok := order.Case()
	if !ok {
		return false, fmt.Errorf("%w: the catalogue has no %q", ErrNotFound, order.Action)
	}
	if action.Effect == catalogue.Collects {
		return false, nil // it leaves nothing, and may be done again
	}
	if action.Effect == catalogue.Creates {
		return r.made(ctx, action.Made(c), c)
	}
	w, err := r.get(ctx, action.Kinds, order.Target)
	switch {
	case err == nil && action.Effect == catalogue.Deletes && w.DeletionTimestamp != nil:
		return true, nil
	case errors.Is(err, ErrNotFound) && (action.Effect == catalogue.Deletes || action.Effect == catalogue.Removes) && r.fits(action.Kinds, order.Target):
		return true, nil
	case err != nil:
		return false, err
	}
	if w.Annotations[catalogue.OrderAnnotation] == order.ID {
		return true, nil
	}
	return slices.ContainsFunc(w.ManagedFields, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == fieldManager }), nil
}

// fits reports whether the target is one that can exist: what cannot was not removed either.
func (r *Reader) fits(kinds []catalogue.Kind, t catalogue.Target) bool {
	_, _, err := r.interfaceOf(kinds, t)
	return err == nil
}

func (r *Reader) made(ctx context.Context, read catalogue.Read, c catalogue.Case) (bool, error) {
	object, err := r.read(ctx, c.Target.Namespace, read)
	if err != nil || object == nil {
		return false, err
	}
	return catalogue.MadeFor(object, c.OrderID)
}
