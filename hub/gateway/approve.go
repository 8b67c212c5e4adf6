package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// approve lets low through, waits at medium for one approver or for as many as the policies demand, and at high for a quorum of
// approvers who sign.
func (g *Gateway) approve(ctx context.Context, r *Record, _ time.Time) (outcome, error) {
	switch r.Order.Tier {
	case catalogue.Low:
		return passed("tier low needs none"), nil
	case catalogue.High:
		return g.quorum(ctx, r)
	}
	ignored, agreed, needed := "", []string{}, max(1, int(r.Verdict.Approvals))
	for _, word := range r.Words {
		switch {
		case word.OrderDigest != r.OrderDigest:
			ignored = "; " + word.Approver + " approved another order"
		case word.Approver == "" || word.Approver == r.Request.Requester:
			ignored = "; nobody approves their own request"
		case !word.Approve:
			return refuse(refusal.New("approve", refusal.Denied, "%s: %s", word.Approver, orElse(word.Reason, "no reason given"))), nil
		case !slices.Contains(agreed, word.Approver):
			agreed = append(agreed, word.Approver)
		}
		if len(agreed) >= needed {
			return passed("by %s", strings.Join(agreed, ", ")), nil
		}
	}
	who := "an approver"
	if needed > 1 {
		who = fmt.Sprintf("approvers, %d of %d have agreed", len(agreed), needed)
	}
	return waiting(r.Order.ValidUntil.Add(time.Second), "%s, until %s%s: writ approve %s",
		who, r.Order.ValidUntil.UTC().Format("15:04:05Z"), ignored, r.Request.Name), nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
