// Package reasoning turns signals into decisions, and decisions into action requests.
//
// The reasoner here follows playbooks. It persists a decision, with its evidence and its reason, before it proposes
// anything; it proposes once, whatever crashes in between; and it proposes for one object no more often than the playbook's
// cooldown allows. It never acts: it asks, through the same door as everybody, with the rights of its agent class and no
// other credential. What a signal says is data to it.
package reasoning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/hub/store"
)

// ErrRejected is returned by a Proposer for a proposal that the API server will never take. It is not tried again.
var ErrRejected = errors.New("the proposal was rejected")

// stale is the age at which a signal is no longer acted on: what is still wrong is reported every half minute.
const stale = 10 * time.Minute

// Feed tells of signals, each at least once.
type Feed interface {
	Follow(ctx context.Context, follower string, tell func(context.Context, signal.Signal) error) error
}

// Proposer asks for actions. To propose the same again changes nothing and is no error.
type Proposer interface {
	Propose(ctx context.Context, p Proposal) error
}

// Reasoner is one agent class that follows playbooks. Make it with New.
type Reasoner struct {
	class     string
	playbooks []*Playbook
	store     store.Store
	proposer  Proposer
	tracer    trace.Tracer
	log       *slog.Logger
	now       func() time.Time
}

// New makes a reasoner of an agent class.
func New(class string, playbooks []*Playbook, s store.Store, proposer Proposer, tracer trace.Tracer, log *slog.Logger,
	now func() time.Time) *Reasoner {
	return &Reasoner{class: class, playbooks: playbooks, store: s, proposer: proposer, tracer: tracer, log: log, now: now}
}

// Run follows the feed until the context ends.
func (r *Reasoner) Run(ctx context.Context, feed Feed) error {
	return feed.Follow(ctx, "reasoner/"+r.class, r.Consider)
}

// Consider follows every playbook that matches a signal. It may be called again with the same signal: an error means that
// it must be.
func (r *Reasoner) Consider(ctx context.Context, s signal.Signal) error {
	if r.now().Sub(s.LastSeen) > stale {
		return nil
	}
	for _, p := range r.playbooks {
		matches, err := p.Matches(s)
		if err != nil {
			r.log.WarnContext(ctx, "playbook does not apply", "signal", s.ID, "error", err)
			continue
		}
		if !matches {
			continue
		}
		if err := r.follow(ctx, p, s); err != nil {
			return fmt.Errorf("playbook %s: %w", p.Name, err)
		}
	}
	return nil
}

// cooldown is what keeps a playbook from an object after a decision.
type cooldown struct {
	DecisionID string    `json:"decisionID"`
	Until      time.Time `json:"until"`
}

// follow decides and proposes, or finishes what a crash has left undone, or does nothing while the object has its cooldown.
func (r *Reasoner) follow(ctx context.Context, p *Playbook, s signal.Signal) error {
	key := cooldownKey(r.class, p.Name, s.Cluster, s.Object.UID)
	last, version, err := load[cooldown](ctx, r.store, key)
	if err != nil {
		return err
	}
	if version != 0 {
		d, decided, err := load[Decision](ctx, r.store, decisionKey(last.DecisionID))
		if err != nil {
			return err
		}
		if decided != 0 && d.State == Open {
			return r.propose(ctx, d, decided)
		}
		if r.now().Before(last.Until) {
			return nil
		}
	}
	d, decided, err := r.decide(ctx, p, s, key, version)
	if err != nil {
		return err
	}
	return r.propose(ctx, d, decided)
}

// decide persists a decision together with the object's cooldown, under the span writ.decision of the signal's trace.
func (r *Reasoner) decide(ctx context.Context, p *Playbook, s signal.Signal, key string, version uint64) (Decision, uint64, error) {
	now := r.now()
	d, err := decide(r.class, p, s, now)
	if err != nil {
		return d, 0, err
	}
	carrier := propagation.MapCarrier{"traceparent": s.Traceparent}
	ctx, span := r.tracer.Start(propagation.TraceContext{}.Extract(ctx, carrier), "writ.decision", trace.WithTimestamp(now),
		trace.WithAttributes(attribute.String("writ.decision", d.ID), attribute.String("writ.agent_class", d.AgentClass),
			attribute.String("writ.signal", s.ID), attribute.String("writ.playbook", p.Name),
			attribute.String("writ.cluster", d.Cluster), attribute.String("writ.action", d.Action)))
	defer span.End()
	propagation.TraceContext{}.Inject(ctx, carrier)
	d.Traceparent = carrier["traceparent"]
	rawDecision, err := json.Marshal(d)
	if err != nil {
		return d, 0, err
	}
	rawCooldown, err := json.Marshal(cooldown{DecisionID: d.ID, Until: now.Add(p.cooldown)})
	if err != nil {
		return d, 0, err
	}
	if err := r.store.Commit(ctx, store.Check(key, version), store.Put(key, rawCooldown),
		store.Check(decisionKey(d.ID), 0), store.Put(decisionKey(d.ID), rawDecision)); err != nil {
		return d, 0, err
	}
	item, err := r.store.Get(ctx, decisionKey(d.ID))
	return d, item.Version, err
}

// propose asks for what was decided, and takes down that it did.
func (r *Reasoner) propose(ctx context.Context, d Decision, version uint64) error {
	err := r.proposer.Propose(ctx, d.proposal())
	switch {
	case err == nil:
		d.State = Proposed
		r.log.InfoContext(ctx, "proposed", "decision", d.ID, "cluster", d.Cluster, "action", d.Action, "target", d.Target.String())
	case errors.Is(err, ErrRejected):
		d.State, d.Problem = Rejected, err.Error()
		r.log.WarnContext(ctx, "proposal rejected", "decision", d.ID, "error", err)
	default:
		return fmt.Errorf("decision %s: %w", d.ID, err)
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return r.store.Commit(ctx, store.Check(decisionKey(d.ID), version), store.Put(decisionKey(d.ID), raw))
}

// Decision reads a decision; store.ErrNotFound where there is none by that ID.
func (r *Reasoner) Decision(ctx context.Context, id string) (Decision, error) {
	d, version, err := load[Decision](ctx, r.store, decisionKey(id))
	if err == nil && version == 0 {
		err = store.ErrNotFound
	}
	return d, err
}

// The keys under which the reasoner keeps its state.
func decisionKey(id string) string { return "decision/" + id }

func cooldownKey(class, playbook, cluster, uid string) string {
	return "cooldown/" + class + "/" + playbook + "/" + cluster + "/" + uid
}

// load reads a value; the version is 0 where there is none.
func load[T any](ctx context.Context, s store.Store, key string) (value T, version uint64, err error) {
	item, err := s.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return value, 0, nil
	}
	if err != nil {
		return value, 0, err
	}
	return value, item.Version, json.Unmarshal(item.Value, &value)
}
