package process

import (
	"context"
	"fmt"
	"net"
	"time"
)

const readyPoll = 50 * time.Millisecond

// Await tries ready until it succeeds, the child dies, or the bound is over.
// The error then is one line that says what was still missing.
func (p *Process) Await(ctx context.Context, bound time.Duration, missing string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
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

// AwaitPort returns when somebody accepts connections on the port.
func (p *Process) AwaitPort(ctx context.Context, bound time.Duration, port int) error {
	dialer := net.Dialer{Timeout: readyPoll}
	missing := fmt.Sprintf("nothing listens on port %d", port)
	return p.Await(ctx, bound, missing, func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, "tcp", Loopback(port))
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}
