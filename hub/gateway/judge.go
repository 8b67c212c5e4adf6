package gateway

import (
	"context"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
)

// judge asks the policies, and writes the order that approvers read.
func (g *Gateway) judge(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	verdict, no := g.ask(r)
	if no != nil {
		return refuse(no), nil
	}
	enrolled, ok, err := g.Clusters.Enrolled(ctx, r.Request.Cluster)
	if err != nil {
		return outcome{}, err
	}
	if !ok {
		return refuse(refusal.New("judge", refusal.ClusterUnknown, "cluster %s has left", r.Request.Cluster)), nil
	}
	order := makeOrder(r, enrolled.Audience, verdict, now)
	envelope, digest, err := bundle.Wrap(order)
	if err != nil {
		return outcome{}, err
	}
	out := passed("tier %s: %s (%v)", verdict.Tier, verdict.Why, verdict.Policies)
	out.learn = func(r *Record) {
		r.Verdict, r.Order, r.OrderEnvelope, r.OrderDigest = &verdict, &order, envelope, digest
	}
	return out, nil
}

// ask asks the policies in force about the record's request.
func (g *Gateway) ask(r *Record) (policy.Verdict, *refusal.Refusal) {
	action, c, _ := r.action()
	floor, why := action.TierOf(c)
	return g.Policies.Policies().Judge(policy.Question{
		Action: r.Request.Action, Cluster: r.Request.Cluster, AgentClass: r.Request.AgentClass, Requester: r.Request.Requester,
		Target: c.Target, Parameters: r.Request.Parameters, Observed: c.Facts,
	}, floor, why)
}

// makeOrder writes down what may be done. It is a function of the record and the time alone.
func makeOrder(r *Record, audience bundle.Audience, verdict policy.Verdict, now time.Time) bundle.Order {
	action, c, _ := r.action()
	from := now.UTC().Truncate(time.Second)
	return bundle.Order{
		Format:          bundle.Format,
		ID:              "order-" + r.Request.ID,
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
	}
}
