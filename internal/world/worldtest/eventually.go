package worldtest

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The bounds of a wait, which only a failure reaches: a swamped machine takes long for what is quick elsewhere.
const (
	patience = 2 * time.Minute
	oneTry   = 30 * time.Second
	poll     = 50 * time.Millisecond
)

// Eventually waits until condition returns nil, and fails the test with what it said last when that takes longer than two
// minutes. Each try has half a minute: a call that hangs is made again.
func Eventually(t testing.TB, what string, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var said error
	for {
		err := once(ctx, condition)
		if err == nil {
			return
		}
		if said == nil || !errors.Is(err, context.DeadlineExceeded) { // that a try was cut short says nothing of why
			said = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited too long for %s: %v", what, said)
		case <-tick.C:
		}
	}
}

func once(ctx context.Context, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	return condition(ctx)
}
