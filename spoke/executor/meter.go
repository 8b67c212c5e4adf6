package executor

import (
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
)

// Meter counts. It must not block.
type Meter interface {
	// Step hears how long a step took, with all its tries.
	Step(step string, refused bool, took time.Duration)
	// Done hears what a receipt says; the reason is empty where nothing was refused.
	Done(action, result, reason string)
	// Rejected hears why a bundle was not taken.
	Rejected(reason string)
}

// silent counts nothing.
type silent struct{}

func (silent) Step(string, bool, time.Duration) {}
func (silent) Done(string, string, string)      {}
func (silent) Rejected(string)                  {}

func (e *Executor) countReceipt(action string, receipt bundle.Receipt, no *refusal.Refusal) {
	reason := ""
	if no != nil {
		reason = string(no.Reason)
	}
	e.Meter.Done(action, string(receipt.Result), reason)
}
