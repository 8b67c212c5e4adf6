package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/internal/world/process"
)

const readyPoll = 50 * time.Millisecond

// await tries ready until it succeeds, the child dies, or the bound is over.
// The error then is one line that says what was still missing.
func await(ctx context.Context, p *process.Process, missing string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		last := ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.Done():
			return p.Failure()
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", missing, last, ctx.Err())
		case <-tick.C:
		}
	}
}
