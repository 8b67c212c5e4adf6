package gateway

import (
	"context"
	"time"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// approve lets low through, waits for one approver at medium, and refuses high: it needs a quorum of signatures, for which
// this version has no door.
func (g *Gateway) approve(_ context.Context, r *Record, _ time.Time) (outcome, error) {
	switch r.Order.Tier {
	case catalogue.Low:
		return passed("tier low needs none"), nil
	case catalogue.High:
		return refuse(refusal.New("approve", refusal.QuorumNotAvailable,
			"tier high (%s) needs a quorum of approvers who sign the order, which this version cannot collect", r.Verdict.Why)), nil
	}
	ignored := ""
	for _, word := range r.Words {
		switch {
		case word.OrderDigest != r.OrderDigest:
			ignored = "; " + word.Approver + " approved another order"
		case word.Approver == "" || word.Approver == r.Request.Requester:
			ignored = "; nobody approves their own request"
		case !word.Approve:
			return refuse(refusal.New("approve", refusal.Denied, "%s: %s", word.Approver, orElse(word.Reason, "no reason given"))), nil
		default:
			return passed("by %s", word.Approver), nil
		}
	}
	return waiting(r.Order.ValidUntil.Add(time.Second), "an approver, until %s%s: writ approve %s",
		r.Order.ValidUntil.UTC().Format("15:04:05Z"), ignored, r.Request.Name), nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
