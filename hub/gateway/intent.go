package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// logIntent puts on the audit log what is about to be ordered, before anything is signed. A hub killed between the entry
// and the record logs the same intent again; the order's digest shows that it is one.
func (g *Gateway) logIntent(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	entry := g.entry(auditlog.TypeIntent, r, now)
	entry.Intent = &auditlog.Intent{
		Action: r.Order.Action, Target: r.Order.Target.String(), Tier: string(r.Order.Tier),
		OrderID: r.Order.ID, OrderDigest: r.OrderDigest, OrderEnds: r.Order.ValidUntil, PolicyDigest: r.Order.PolicyDigest,
		DecisionID: r.Request.DecisionID, Undoes: r.Request.Undoes, Requester: r.Request.Requester, Approvers: approvers(r),
	}
	notes := []note{{entry: entry}}
	for _, word := range counted(r) {
		notes = append(notes, note{word.ID, g.approvalEntry(r, word)})
	}
	index, err := g.logOnce(ctx, r, notes...)
	if err != nil {
		return outcome{}, err
	}
	out := passed("entry %d of the audit log", index)
	out.learn = func(r *Record) { r.IntentIndex = &index }
	return out, nil
}

// counted are the words that let the order through, one of each approver.
func counted(r *Record) []Word {
	var words []Word
	for _, word := range r.Words {
		if r.Order.Tier == catalogue.High && !slices.Contains(r.Quorum, word.ID) {
			continue
		}
		said := slices.ContainsFunc(words, func(w Word) bool { return w.Approver == word.Approver })
		if !said && word.Approve && word.OrderDigest == r.OrderDigest && word.Approver != r.Request.Requester {
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

// approvalEntry is an approver's word as the audit log has it.
func (g *Gateway) approvalEntry(r *Record, word Word) auditlog.Entry {
	entry := g.entry(auditlog.TypeApproval, r, word.At)
	entry.Approval = &auditlog.Approval{Approver: word.Approver, Verdict: auditlog.Approve, Reason: word.Reason, OrderDigest: word.OrderDigest}
	return entry
}

// recordRefusal puts a refusal on the audit log.
func (g *Gateway) recordRefusal(ctx context.Context, r *Record, no *refusal.Refusal, now time.Time) error {
	entry := g.entry(auditlog.TypeRefusal, r, now)
	entry.Refusal = &auditlog.Refusal{Step: no.Step, Reason: string(no.Reason), Detail: no.Detail, OrderDigest: r.OrderDigest}
	_, err := g.logOnce(ctx, r, note{entry: entry})
	return err
}

// entry begins an audit log entry about a record.
func (g *Gateway) entry(kind auditlog.Type, r *Record, now time.Time) auditlog.Entry {
	return auditlog.Entry{
		Type: kind, Time: now.UTC(), Cluster: r.Request.Cluster,
		Request: &auditlog.Request{Namespace: r.Request.Namespace, Name: r.Request.Name, UID: r.Request.ID},
	}
}

// note is an entry about a record, of which there is one of each type (for approvals, of each word; for escalations, of each group).
type note struct {
	word  string // ID of the approver's word, or the group
	entry auditlog.Entry
}

func (n note) key() string { return string(n.entry.Type) + "/" + n.word }

// logOnce appends notes of a record, all at once, and returns the index of the first. A step that is taken again because the
// record had changed meanwhile does not append again; only a crash in between may do so.
func (g *Gateway) logOnce(ctx context.Context, r *Record, notes ...note) (uint64, error) {
	known := g.loggedOf(r.Request.ID)
	var missing []note
	var entries []auditlog.Entry
	for _, n := range notes {
		if _, ok := known[n.key()]; !ok {
			missing, entries = append(missing, n), append(entries, n.entry)
		}
	}
	if len(missing) > 0 {
		indices, err := g.Audit.Append(ctx, entries...)
		if err != nil {
			return 0, err
		}
		for i, n := range missing {
			known[n.key()] = indices[i]
		}
	}
	return known[notes[0].key()], nil
}

// loggedOf is what a record has on the audit log. One worker at a time has a record.
func (g *Gateway) loggedOf(id string) map[string]uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.logged[id] == nil {
		g.logged[id] = map[string]uint64{}
	}
	return g.logged[id]
}

// forget drops what is only of use while a record is open.
func (g *Gateway) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.logged, id)
}
