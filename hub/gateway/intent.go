package gateway

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/refusal"
)

// logIntent puts on the audit log what is about to be ordered, before anything is signed. A hub killed between the entry
// and the record logs the same intent again; the order's digest shows that it is one.
func (g *Gateway) logIntent(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	entry := g.entry(auditlog.TypeIntent, r, now)
	entry.Intent = &auditlog.Intent{
		Action: r.Order.Action, Target: r.Order.Target.String(), Tier: string(r.Order.Tier),
		OrderID: r.Order.ID, OrderDigest: r.OrderDigest, OrderEnds: r.Order.ValidUntil, PolicyDigest: r.Order.PolicyDigest,
		DecisionID: r.Request.DecisionID, Requester: r.Request.Requester, Approvers: approvers(r),
	}
	var index uint64
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		index, err = g.Audit.Append(ctx, entry)
		return err
	})
	for _, word := range counted(r) {
		group.Go(func() error { return g.recordApproval(ctx, r, word) })
	}
	if err := group.Wait(); err != nil {
		return outcome{}, err
	}
	out := passed("entry %d of the audit log", index)
	out.learn = func(r *Record) { r.IntentIndex = &index }
	return out, nil
}

// counted are the words that let the order through.
func counted(r *Record) []Word {
	var words []Word
	for _, word := range r.Words {
		if word.Approve && word.OrderDigest == r.OrderDigest && word.Approver != r.Request.Requester {
			words = append(words, word)
		}
	}
	return words
}

func approvers(r *Record) []string {
	var names []string
	for _, word := range counted(r) {
		names = append(names, word.Approver)
	}
	return names
}

// recordApproval puts an approver's word on the audit log.
func (g *Gateway) recordApproval(ctx context.Context, r *Record, word Word) error {
	entry := g.entry(auditlog.TypeApproval, r, word.At)
	entry.Approval = &auditlog.Approval{Approver: word.Approver, Verdict: auditlog.Approve, Reason: word.Reason, OrderDigest: word.OrderDigest}
	_, err := g.Audit.Append(ctx, entry)
	return err
}

// recordRefusal puts a refusal on the audit log.
func (g *Gateway) recordRefusal(ctx context.Context, r *Record, no *refusal.Refusal, now time.Time) error {
	entry := g.entry(auditlog.TypeRefusal, r, now)
	entry.Refusal = &auditlog.Refusal{Step: no.Step, Reason: string(no.Reason), Detail: no.Detail, OrderDigest: r.OrderDigest}
	_, err := g.Audit.Append(ctx, entry)
	return err
}

// entry begins an audit log entry about a record.
func (g *Gateway) entry(kind auditlog.Type, r *Record, now time.Time) auditlog.Entry {
	return auditlog.Entry{
		Type: kind, Time: now.UTC(), Cluster: r.Request.Cluster,
		Request: &auditlog.Request{Namespace: r.Request.Namespace, Name: r.Request.Name, UID: r.Request.ID},
	}
}
