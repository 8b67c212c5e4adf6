package executor

import (
	"context"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
)

// withdrawn is why an action was stopped after it had started.
type withdrawn struct{ no *refusal.Refusal }

// Error implements error.
func (w *withdrawn) Error() string { return w.no.String() }

// begin has an attempt be one that can be stopped. It comes before the claim, so that nothing is started unseen.
func (e *Executor) begin(a *attempt, stop context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acting[a] = stop
}

func (e *Executor) end(a *attempt) {
	e.mu.Lock()
	stop := e.acting[a]
	delete(e.acting, a)
	e.mu.Unlock()
	stop(nil)
}

// Withdraw stops what was started and is to have no credential any more. What is frozen is in the journal already, so nothing else starts.
// A credential ends with its action, whatever came of that; where the change had left before, the receipt says so.
func (e *Executor) Withdraw(f bundle.Freezes) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	for a, stop := range e.acting {
		if no := f.Revokes(a.id(), a.decoded.Order.Action, now); no != nil {
			stop(&withdrawn{no})
		}
	}
}
