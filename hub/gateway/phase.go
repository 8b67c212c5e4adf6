package gateway

import (
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Phase is where a record stands, in one word, and one line for people.
func (r *Record) Phase() (v1alpha1.Phase, string) {
	switch {
	case r.Refusal != nil:
		if r.Refusal.Reason == refusal.ApprovalExpired || r.Refusal.Reason == refusal.RequestExpired {
			return v1alpha1.PhaseExpired, r.Refusal.Detail
		}
		return v1alpha1.PhaseRefused, r.Refusal.String()
	case r.Next == "":
		return r.ended()
	}
	switch r.Next {
	case "approve":
		return v1alpha1.PhaseAwaitingApproval, "waiting for " + orElse(r.Waiting, "an approver")
	case "dispatch":
		if r.Overdue {
			return v1alpha1.PhaseExpired, r.Waiting
		}
		return v1alpha1.PhaseDispatched, "waiting for " + orElse(r.Waiting, "cluster "+r.Request.Cluster+" to take the bundle")
	case "awaitReceipt":
		return v1alpha1.PhaseExecuting, "waiting for " + orElse(r.Waiting, "the receipt of cluster "+r.Request.Cluster)
	case "undo", "lease":
		return r.ended()
	case "observe":
		if r.Receipt.Result != bundle.Applied {
			return r.ended()
		}
		return v1alpha1.PhaseObserving, r.Receipt.Change + "; expecting " + r.Order.Prediction.String()
	}
	if r.Waiting != "" {
		return v1alpha1.PhasePending, r.Waiting
	}
	return v1alpha1.PhasePending, "next: " + r.Next
}

// ended is the phase of a record whose receipt has come and whose outcome, if there is to be one, too.
func (r *Record) ended() (v1alpha1.Phase, string) {
	switch {
	case r.Receipt.Refusal != nil && r.Receipt.Refusal.Reason == refusal.BundleExpired:
		return v1alpha1.PhaseExpired, r.Receipt.Refusal.Detail
	case r.Receipt.Result == bundle.Refused:
		return v1alpha1.PhaseRefused, r.Receipt.Refusal.String()
	case r.Receipt.Result == bundle.Failed:
		return v1alpha1.PhaseFailed, describe(r.Receipt)
	case r.Outcome.Result == bundle.CameTrue:
		return v1alpha1.PhaseSucceeded, r.Receipt.Change + "; " + r.Outcome.Detail + r.lasts()
	}
	return v1alpha1.PhaseIneffective, r.Receipt.Change + ", but " + r.Outcome.Detail + r.drifted()
}

// lasts says how long what was relaxed stays so, or what put it back.
func (r *Record) lasts() string {
	if r.UndoneBy != "" {
		return "; put back by " + r.UndoneBy
	}
	if guard, until := r.leased(); guard != "" && r.Next != "" {
		return "; " + guard + ", until " + until.UTC().Format(time.RFC3339)
	}
	return ""
}

// drifted says what was not as predicted, and what becomes of it.
func (r *Record) drifted() string {
	says := ""
	for i, d := range r.Outcome.Drift {
		if i == 0 {
			says = " ("
		} else {
			says += ", "
		}
		says += fmt.Sprintf("%s predicted %s, actual %s", d.Field, d.Predicted, d.Actual)
	}
	if says != "" {
		says += ")"
	}
	if r.reverted() {
		says += "; something else has reverted it"
	}
	if r.UndoneBy != "" {
		says += "; undone by " + r.UndoneBy
	}
	return says
}
