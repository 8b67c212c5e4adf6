package auditlog

import (
	"fmt"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/bundle"
)

// Summary is one line about an entry, for people. It quotes what spokes and agents wrote: clean it before a terminal sees it.
func (e Entry) Summary() string {
	switch e.Type {
	case TypeEnrolment:
		return fmt.Sprintf("cluster %s enrolled as %s", e.Cluster, e.Enrolment.SVID)
	case TypeRefusal:
		return fmt.Sprintf("refused at %s (%s): %s", e.Refusal.Step, e.Refusal.Reason, e.Refusal.Detail)
	case TypeApproval:
		return optional(fmt.Sprintf("%s by %s", e.Approval.Verdict, e.Approval.Approver), ": ", e.Approval.Reason)
	case TypeIntent:
		i := e.Intent
		line := fmt.Sprintf("%s of %s in cluster %s, tier %s, asked by %s", i.Action, i.Target, e.Cluster, i.Tier, i.Requester)
		line = optional(line, ", approved by ", strings.Join(i.Approvers, " and "))
		return fmt.Sprintf("%s, order %s until %s", line, i.OrderDigest, i.OrderEnds.Format(time.RFC3339))
	case TypeExpired:
		return fmt.Sprintf("bundle %d of cluster %s was not started in time", e.Expired.Sequence, e.Cluster)
	case TypeReceipt:
		_, r, no := bundle.OpenReceipt(e.Receipt.Envelope)
		if no != nil {
			return no.Detail
		}
		line := fmt.Sprintf("cluster %s: bundle %d %s", r.Cluster, r.Sequence, r.Result)
		if r.Refusal != nil {
			line = fmt.Sprintf("%s: %s", line, r.Refusal)
		}
		return optional(line, ": ", r.Change)
	case TypeOutcome:
		_, o, no := bundle.OpenOutcome(e.Outcome.Envelope)
		if no != nil {
			return no.Detail
		}
		return optional(fmt.Sprintf("cluster %s: %s", o.Cluster, o.Result), ": ", o.Detail)
	}
	return string(e.Type)
}

// optional appends text, if there is any.
func optional(line, before, text string) string {
	if text == "" {
		return line
	}
	return line + before + text
}
