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
		index, err = g.logOnce(ctx, r, "", entry)
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
	_, err := g.logOnce(ctx, r, word.ID, entry)
	return err
}

// recordRefusal puts a refusal on the audit log.
func (g *Gateway) recordRefusal(ctx context.Context, r *Record, no *refusal.Refusal, now time.Time) error {
	entry := g.entry(auditlog.TypeRefusal, r, now)
	entry.Refusal = &auditlog.Refusal{Step: no.Step, Reason: string(no.Reason), Detail: no.Detail, OrderDigest: r.OrderDigest}
	_, err := g.logOnce(ctx, r, "", entry)
	return err
}

// entry begins an audit log entry about a record.
func (g *Gateway) entry(kind auditlog.Type, r *Record, now time.Time) auditlog.Entry {
	return auditlog.Entry{
		Type: kind, Time: now.UTC(), Cluster: r.Request.Cluster,
		Request: &auditlog.Request{Namespace: r.Request.Namespace, Name: r.Request.Name, UID: r.Request.ID},
	}
}

// logOnce appends an entry of a record, of which there is one of each type (and, for approvals, of each word). A step that is
// taken again because the record had changed meanwhile does not append again; only a crash in between may do so.
func (g *Gateway) logOnce(ctx context.Context, r *Record, which string, entry auditlog.Entry) (uint64, error) {
	id := r.Request.ID
	key := string(entry.Type) + "/" + which
	g.mu.Lock()
	index, known := g.logged[id][key]
	g.mu.Unlock()
	if known {
		return index, nil
	}
	index, err := g.Audit.Append(ctx, entry)
	if err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.logged[id] == nil {
		g.logged[id] = map[string]uint64{}
	}
	g.logged[id][key] = index
	return index, nil
}

// forget drops what is only of use while a record is open.
func (g *Gateway) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.logged, id)
}
