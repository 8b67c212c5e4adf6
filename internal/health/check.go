package health

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// within bounds one check. One that takes longer has failed: it hangs.
const within = 2 * time.Second

// check is one question. Whoever asks while it is being answered gets the same answer, so that checks which hang pile up
// nothing.
type check struct {
	name string
	ask  func(context.Context) error

	mu      sync.Mutex // guards current
	current *answer
}

type answer struct {
	done  chan struct{} // closed once err is there
	err   error
	since time.Time
}

// run asks, and waits for the answer for as long as the bound allows.
func (c *check) run(ctx context.Context) error {
	a := c.begin()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("no answer since %s", a.since.UTC().Format(time.RFC3339))
	}
}

func (c *check) begin() *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return c.current
	}
	a := &answer{done: make(chan struct{}), since: time.Now()}
	c.current = a
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		a.err = c.ask(ctx)
		c.mu.Lock()
		c.current = nil
		c.mu.Unlock()
		close(a.done)
	}()
	return a
}

// report is one line per check, in the form of Kubernetes' own components, and whether all passed.
func report(ctx context.Context, checks []*check) (text string, ok bool) {
	errs := make([]error, len(checks))
	var asked sync.WaitGroup
	for i, c := range checks {
		asked.Go(func() { errs[i] = c.run(ctx) })
	}
	asked.Wait()
	var lines strings.Builder
	ok = true
	for i, c := range checks {
		if errs[i] == nil {
			fmt.Fprintf(&lines, "[+]%s ok\n", c.name)
			continue
		}
		ok = false
		fmt.Fprintf(&lines, "[-]%s failed: %s\n", c.name, oneLine(errs[i]))
	}
	return lines.String(), ok
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
