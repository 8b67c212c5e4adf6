package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// grace is how long after a prediction's deadline the spoke's outcome may take to arrive before the wait says so.
const grace = 30 * time.Second

// dispatch waits until the bundle is in the spoke's journal. A bundle that was not taken in time is reported as expired, but
// stays in the queue: the spoke may have taken it without the hub having heard, and its receipt will say so.
func (g *Gateway) dispatch(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	if r.onHub() {
		return passed("by the hub itself"), nil
	}
	if r.TakenAt != nil || r.Receipt != nil {
		return passed("taken by cluster %s", r.Request.Cluster), nil
	}
	if no, err := g.epochEnded(ctx, r, now, r.Bundle.Expires); err != nil {
		return outcome{}, err
	} else if no != nil {
		return refuse(no), nil
	}
	blocked := ""
	if r.Blocked != "" {
		blocked = "; it said: " + r.Blocked
	}
	if now.Before(r.Bundle.Expires) {
		return waiting(r.Bundle.Expires, "cluster %s to take bundle %d%s", r.Request.Cluster, r.Bundle.Sequence, blocked), nil
	}
	out := waiting(time.Time{}, "not taken before %s; cluster %s will confirm when it is back%s",
		r.Bundle.Expires.Format(time.RFC3339), r.Request.Cluster, blocked)
	if r.Overdue {
		return out, nil
	}
	entry := g.entry(auditlog.TypeExpired, r, now)
	entry.Expired = &auditlog.Expired{BundleID: r.Bundle.ID, BundleDigest: r.Bundle.Digest, OrderDigest: r.OrderDigest, Sequence: r.Bundle.Sequence}
	if _, err := g.logOnce(ctx, r, note{entry: entry}); err != nil {
		return outcome{}, err
	}
	out.learn = func(r *Record) { r.Overdue = true }
	return out, nil
}

// awaitReceipt waits for the spoke's signed word on what it did, and puts it on the audit log.
func (g *Gateway) awaitReceipt(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	if r.Receipt == nil {
		if no, err := g.epochEnded(ctx, r, now, r.Order.ValidUntil); err != nil {
			return outcome{}, err
		} else if no != nil {
			return refuse(no), nil
		}
		until := r.Order.ValidUntil // to see whether anybody can still answer
		if now.After(until) {
			until = time.Time{}
		}
		return waiting(until, "the receipt of cluster %s", r.Request.Cluster), nil
	}
	if r.onHub() {
		return g.recordCarried(ctx, r, now)
	}
	entry := g.entry(auditlog.TypeReceipt, r, now)
	entry.Receipt = &auditlog.Receipt{BundleDigest: r.Bundle.Digest, Sequence: r.Bundle.Sequence, Envelope: r.ReceiptRaw}
	if _, err := g.logOnce(ctx, r, note{entry: entry}); err != nil {
		return outcome{}, err
	}
	return g.received(ctx, r, now)
}

// received frees what the action held, remembers the change, and tells of it where a policy has that told.
func (g *Gateway) received(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	out := passed("%s", describe(r.Receipt))
	changed, err := r.remember()
	if err != nil {
		return outcome{}, err
	}
	out.ops = append(g.release(ctx, r), changed...)
	if r.Receipt.Result != bundle.Applied || r.Verdict == nil || r.Verdict.GitOps != v1alpha1.GitOpsNotify {
		return out, nil
	}
	told, ops, err := g.tellFirst(Notice{Record: *r, At: now, Text: fmt.Sprintf("%s owns %s in cluster %s, which was changed (%s) for %s: bring the change to its source, or it is put back",
		r.Facts.ManagedBy, r.Request.Target, r.Request.Cluster, r.Receipt.Change, r.Request.Name)})
	if err != nil {
		return outcome{}, err
	}
	out.ops = append(out.ops, ops...)
	out.detail += fmt.Sprintf("; %s owns the target (told: %s)", r.Facts.ManagedBy, orElse(told, "nobody, since no group has a hook"))
	return out, nil
}

func describe(receipt *bundle.Receipt) string {
	switch {
	case receipt.Refusal != nil:
		return receipt.Refusal.String()
	case receipt.Change != "":
		return string(receipt.Result) + ": " + receipt.Change
	}
	return string(receipt.Result)
}

// observe waits for the spoke's signed word on what came true. Where nothing was applied there is nothing to observe.
func (g *Gateway) observe(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	if r.Receipt.Result != bundle.Applied {
		return passed("nothing was changed"), nil
	}
	if r.Order.Prediction.ByHub() {
		return g.observeHere(ctx, r, now)
	}
	if r.Outcome == nil {
		until := r.Receipt.FinishedAt.Add(time.Duration(r.Order.Prediction.WithinSeconds)*time.Second + grace)
		if now.After(until) {
			return waiting(time.Time{}, "the outcome is overdue: cluster %s has not said what came true", r.Request.Cluster), nil
		}
		return waiting(until.Add(time.Second), "%s", r.Order.Prediction), nil
	}
	entry := g.entry(auditlog.TypeOutcome, r, now)
	entry.Outcome = &auditlog.Outcome{BundleDigest: r.Bundle.Digest, Envelope: r.OutcomeRaw}
	if _, err := g.logOnce(ctx, r, note{entry: entry}); err != nil {
		return outcome{}, err
	}
	return passed("%s: %s", r.Outcome.Result, r.Outcome.Detail), nil
}
