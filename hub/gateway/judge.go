package gateway

import (
	"context"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
)

// judge asks the policies.
func (g *Gateway) judge(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	baseline, remember, err := g.baseline(ctx, r, now)
	if err != nil {
		return outcome{}, err
	}
	seen := *r
	seen.Baseline = &baseline
	verdict, no := g.ask(&seen, now)
	verdict = verdict.Short() // what is written down of it
	if no != nil {
		out := refuse(no)
		out.ops = remember
		out.learn = func(r *Record) { r.Verdict, r.Baseline = &verdict, &baseline }
		return out, nil
	}
	out := passed("tier %s: %s (%v)", verdict.Tier, verdict.Why, verdict.Policies)
	out.learn = func(r *Record) { r.Verdict, r.Baseline = &verdict, &baseline }
	out.ops = remember
	return out, nil
}

// writeOrder writes the order that approvers read, and sign.
func (g *Gateway) writeOrder(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	enrolled, ok, err := g.Clusters.Enrolled(ctx, r.Request.Cluster)
	if err != nil {
		return outcome{}, err
	}
	if !ok {
		return refuse(refusal.New("order", refusal.ClusterUnknown, "cluster %s has left", r.Request.Cluster)), nil
	}
	if no, ops, err := g.fights(ctx, r, now); err != nil {
		return outcome{}, err
	} else if no != nil {
		out := refuse(no)
		out.ops = ops
		return out, nil
	}
	order := makeOrder(r, enrolled.Audience, *r.Verdict, now)
	envelope, digest, err := bundle.Wrap(order)
	if err != nil {
		return outcome{}, err
	}
	out := passed("valid until %s", order.ValidUntil.Format(time.RFC3339))
	out.learn = func(r *Record) {
		r.Order, r.OrderEnvelope, r.OrderDigest, r.RelaxedFor = &order, envelope, digest, g.Limits.RelaxedFor
	}
	return out, nil
}

// ask asks the policies in force about the record's request, as if it were asked now.
func (g *Gateway) ask(r *Record, now time.Time) (policy.Verdict, *refusal.Refusal) {
	action, c, _ := r.action()
	floor, why := action.TierOf(c)
	return g.Policies.Policies().Judge(g.question(r, now), floor, why)
}

// question is what the policies are asked about a record.
func (g *Gateway) question(r *Record, now time.Time) policy.Question {
	action, c, _ := r.action()
	q := policy.Question{
		Action: r.Request.Action, Cluster: r.Request.Cluster, ClusterLabels: g.Policies.Labels(r.Request.Cluster),
		AgentClass: r.Request.AgentClass, Requester: r.Request.Requester,
		Target: c.Target, Parameters: r.Request.Parameters, Observed: c.Facts, Rules: action.Rules(c),
		Baseline: unknownBaseline, Now: now,
	}
	if r.Request.Undoes == "" { // what puts back is to nobody's dislike
		q.Owner, q.Undoable = action.Owner(c), action.Inverse(c) != nil
	}
	if r.Baseline != nil {
		q.Baseline = *r.Baseline
	}
	return q
}

// makeOrder writes down what may be done. It is a function of the record and the time alone.
func makeOrder(r *Record, audience bundle.Audience, verdict policy.Verdict, now time.Time) bundle.Order {
	action, c, _ := r.action()
	from := now.UTC().Truncate(time.Second)
	return bundle.Order{
		Format:          bundle.Format,
		ID:              orderPrefix + r.Request.ID,
		Audience:        audience,
		ValidFrom:       from,
		ValidUntil:      from.Add(bundle.OrderLife),
		Action:          action.Name,
		Target:          c.Target,
		Parameters:      r.Request.Parameters,
		Observed:        c.Facts,
		Tier:            verdict.Tier,
		DeadlineSeconds: int64(action.Deadline.Seconds()),
		Rules:           action.Rules(c),
		Prediction:      action.Predict(c),
		RequestID:       r.Request.ID,
		DecisionID:      r.Request.DecisionID,
		PolicyDigest:    verdict.Digest,
		RehearsalDigest: r.rehearsalDigest(),
		Template:        r.Template,
	}
}
