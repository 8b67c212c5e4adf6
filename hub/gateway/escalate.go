package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/store"
)

// Group is people who are asked to approve what waits. Being asked gives no right to approve, and not being asked takes none.
type Group struct {
	Name string
	// After is how long an order has waited when the group is asked. The groups are in this order.
	After time.Duration
}

// Notice is that a group is asked to approve the order of a record; or, with Text, that somebody has something to tell.
type Notice struct {
	Record    Record
	Group     string
	Escalated bool // others were asked before; with Text: they are asked to take over
	At        time.Time
	Text      string
	Hooks     []string // by which it is told; those of the group where there are none
}

// Notifier returns what to write so that a group will be told. It is written together with the record, so that neither is lost
// and whoever crashes in between tells nobody twice.
type Notifier interface {
	Tell(n Notice) ([]store.Op, error)
	// Hooks are those by which a group, or a channel, is told; none where there is no such one.
	Hooks(of catalogue.Target) []string
	// Waiting are those of the hooks that have not taken what was told for a request.
	Waiting(ctx context.Context, requestID string, hooks []string) ([]string, error)
}

// escalating is a step during whose waiting the groups are asked, one after the other.
func escalating(take func(*Gateway, context.Context, *Record, time.Time) (outcome, error)) func(*Gateway, context.Context, *Record, time.Time) (outcome, error) {
	return func(g *Gateway, ctx context.Context, r *Record, now time.Time) (outcome, error) {
		out, err := take(g, ctx, r, now)
		if err != nil || out.result != Waiting || len(g.Groups) == 0 {
			return out, err
		}
		return g.escalate(ctx, r, out, now)
	}
}

// escalate adds to the outcome of a step that waits what it takes to ask the groups whose time has come.
func (g *Gateway) escalate(ctx context.Context, r *Record, out outcome, now time.Time) (outcome, error) {
	waited, names := now.Sub(r.Entered), slices.Clone(r.Groups)
	for len(names) < len(g.Groups) && waited >= g.Groups[len(names)].After {
		group := g.Groups[len(names)].Name
		ops, err := g.tell(ctx, r, Notice{Record: *r, Group: group, Escalated: len(names) > 0, At: now})
		if err != nil {
			return outcome{}, err
		}
		names, out.ops = append(names, group), append(out.ops, ops...)
	}
	if len(names) > len(r.Groups) {
		out.learn = func(r *Record) { r.Groups = names }
	}
	if len(names) < len(g.Groups) {
		if next := r.Entered.Add(g.Groups[len(names)].After); next.Before(out.until) {
			out.until = next
		}
	}
	if len(names) > 0 {
		out.detail = fmt.Sprintf("%s (asked: %s)", out.detail, strings.Join(names, ", then "))
	}
	return out, nil
}

// tell prepares to tell a group. That others did not answer is on the audit log before anybody is told.
func (g *Gateway) tell(ctx context.Context, r *Record, n Notice) ([]store.Op, error) {
	if n.Escalated {
		entry := g.entry(auditlog.TypeEscalated, r, n.At)
		entry.Escalated = &auditlog.Escalated{Group: n.Group, OrderDigest: r.OrderDigest}
		if _, err := g.logOnce(ctx, r, note{n.Group, entry}); err != nil {
			return nil, err
		}
	}
	if g.Notifier == nil {
		return nil, nil
	}
	return g.Notifier.Tell(n)
}
