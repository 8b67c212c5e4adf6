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
	case TypeReset:
		return fmt.Sprintf("the root keys let the sequence of cluster %s begin anew in epoch %d", e.Cluster, e.Reset.Epoch)
	case TypeRevoked:
		return fmt.Sprintf("the identity of cluster %s has ended: %s", e.Cluster, e.Revoked.Reason)
	case TypeFreeze:
		line := optional(fmt.Sprintf("freeze %s of %s: %s", e.Freeze.Name, e.Freeze.Scope, e.Freeze.State), " by ", e.Freeze.By)
		if e.Freeze.Until != nil && e.Freeze.State == Frozen {
			line += ", until " + e.Freeze.Until.UTC().Format(time.RFC3339)
		}
		return optional(line, ": ", e.Freeze.Reason)
	case TypeTrustRoot:
		return e.TrustRoot.summary()
	case TypeAuthority:
		return e.Authority.summary()
	case TypeRefusal:
		return fmt.Sprintf("refused at %s (%s): %s", e.Refusal.Step, e.Refusal.Reason, e.Refusal.Detail)
	case TypeEscalated:
		return "nobody had let it through: asked the group " + e.Escalated.Group
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
	case TypeCarried:
		return fmt.Sprintf("the hub itself, for cluster %s: %s", e.Cluster, e.Carried.Change)
	case TypeObserved:
		return optional(fmt.Sprintf("the hub itself, for cluster %s: %s", e.Cluster, e.Observed.Result), ": ", e.Observed.Detail)
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
