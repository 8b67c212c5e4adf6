package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
)

// Drift looks at an order's target once, and lists what is not as predicted.
func (r *Reader) Drift(ctx context.Context, order bundle.Order) ([]catalogue.Drift, error) {
	action, c, ok := order.Case()
	if !ok {
		return nil, fmt.Errorf("%w: the catalogue has no %q", ErrNotFound, order.Action)
	}
	facts, err := r.see(ctx, action, c)
	if errors.Is(err, ErrNotFound) {
		return catalogue.Vanished(), nil
	}
	if err != nil {
		return nil, err
	}
	if facts.UID != order.Target.UID { // another of the name
		return catalogue.Vanished(), nil
	}
	return order.Prediction.Drift(facts), nil
}
