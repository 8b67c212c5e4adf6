package executor

import (
	"context"
	"errors"
	"time"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/internal/fault"
)

// step is one step of an order's life on the spoke. A refusal ends the life; an error is a fault, and the step is tried
// again until the action's deadline.
type step struct {
	name string
	take func(e *Executor, ctx context.Context, a *attempt) (*refusal.Refusal, error)
}

// authenticating comes before the cluster's sequence moves: what does not pass it changes nothing at all.
var authenticating = []step{
	{"decode", (*Executor).decode},
	{"verify", (*Executor).verify},
}

// judging says whether an authentic bundle may be executed. Whatever it says, the bundle is then taken into the journal.
var judging = []step{
	{"judge", (*Executor).judge},
}

// acting is what happens to a bundle that may be executed. Claim is the one step that happens at most once; all the others
// may be repeated.
var acting = []step{
	{"claim", (*Executor).claim},
	{"credential", (*Executor).credential},
	{"dryRun", (*Executor).dryRun},
	{"apply", (*Executor).apply},
	{"follow", (*Executor).follow},
}

// walk takes steps, each in a span of the order's trace, until one refuses or the context ends. A fault is tried again.
func (e *Executor) walk(ctx context.Context, a *attempt, steps []step) (*refusal.Refusal, error) {
	for _, s := range steps {
		no, err := e.persist(ctx, a, s)
		if no != nil || err != nil {
			return no, err
		}
	}
	return nil, nil
}

// persist takes one step, again and again with growing pauses while it faults, as long as the context lives.
func (e *Executor) persist(ctx context.Context, a *attempt, s step) (*refusal.Refusal, error) {
	entered := e.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		fault.Point("spoke", s.name, "before")
		no, err := s.take(e, ctx, a)
		if err == nil && doubtful(no) && e.Now().Before(entered.Add(believeAfter)) {
			err = errors.New(no.Detail)
		}
		if err == nil {
			fault.Point("spoke", s.name, "after")
			e.trace(a, s.name, entered, no)
			return no, nil
		}
		e.broken(err)
		if errors.Is(err, errNever) || !e.sleep(ctx, pause) {
			return nil, err
		}
		e.Log.WarnContext(ctx, "will try again", "step", s.name, "bundle", a.id(), "error", err)
	}
}

// The pauses between two tries of a step.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
)

// believeAfter is how long a no of the API server or of Vault is asked again. One that has just started, or of which there are
// several, may not have read everybody's rights yet, and then forbids everything.
const believeAfter = 5 * time.Second

func doubtful(no *refusal.Refusal) bool {
	return no != nil && (no.Reason == refusal.CredentialRefused || no.Reason == refusal.DryRunRefused || no.Reason == refusal.ApplyRefused)
}

// errNever marks a fault that trying again cannot mend.
var errNever = errors.New("will not be tried again")

func (e *Executor) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
