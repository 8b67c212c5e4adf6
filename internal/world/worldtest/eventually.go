package worldtest

import (
	"context"
	"testing"
	"time"
)

const (
	patience = 30 * time.Second
	poll     = 50 * time.Millisecond
)

// Eventually waits until condition returns nil, and fails the test with its
// last error when that takes longer than half a minute.
func Eventually(t testing.TB, what string, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited too long for %s: %v", what, err)
		case <-tick.C:
		}
	}
}
