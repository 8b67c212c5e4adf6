package gateway

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// limit bounds what is under way: one action per target, a bounded queue per cluster, a rate per agent class, and whatever the
// policies that match bound.
func (g *Gateway) limit(ctx context.Context, r *Record, now time.Time) (outcome, error) {
	holder, err := g.Store.Get(ctx, busyKey(r.Request))
	if err == nil && string(holder.Value) != r.Request.ID {
		return refuse(refusal.New("limit", refusal.TargetBusy, "action %s is under way for %s: wait for its receipt",
			holder.Value, r.Request.Target)), nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return outcome{}, err
	}
	if no, ops, err := g.triedInVain(ctx, r, now); err != nil {
		return outcome{}, err
	} else if no != nil {
		out := refuse(no)
		out.ops = ops
		return out, nil
	}
	if no, err := g.storm(ctx, r); err != nil {
		return outcome{}, err
	} else if no != nil {
		return refuse(no), nil
	}
	h, _, err := g.head(ctx, r.Request.Cluster)
	if err != nil {
		return outcome{}, err
	}
	if waiting := h.Sequence - h.Taken; waiting >= g.Limits.QueuePerCluster {
		return refuse(refusal.New("limit", refusal.QueueFull, "%d bundles wait for cluster %s: see writ cluster list",
			waiting, r.Request.Cluster)), nil
	}
	counts, no, err := g.count(ctx, r, now)
	if err != nil {
		return outcome{}, err
	}
	if no != nil {
		return refuse(no), nil
	}
	if !r.Request.instead() && !g.limiter(r.Request.AgentClass).AllowN(now, 1) {
		return refuse(refusal.New("limit", refusal.RateLimited, "more than %d requests a minute of %s: wait",
			g.Limits.PerMinute, classOf(r.Request))), nil
	}
	out := passed("target free, %d bundles waiting", h.Sequence-h.Taken)
	out.ops = append([]store.Op{
		store.Check(busyKey(r.Request), holder.Version),
		store.Put(busyKey(r.Request), []byte(r.Request.ID)),
	}, counts.ops...)
	out.learn = func(r *Record) { r.Holds = counts.holds }
	return out, nil
}

func classOf(r Request) string {
	if r.AgentClass == "" {
		return "people"
	}
	return "agent class " + r.AgentClass
}

func (g *Gateway) limiter(class string) *rate.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limiters[class] == nil {
		g.limiters[class] = rate.NewLimiter(rate.Limit(float64(g.Limits.PerMinute)/60), g.Limits.PerMinute)
	}
	return g.limiters[class]
}

// release frees the target, if this action holds it, and its places under the limits of policies.
func (g *Gateway) release(ctx context.Context, r *Record) []store.Op {
	var ops []store.Op
	for _, key := range r.Holds {
		ops = append(ops, store.Delete(key))
	}
	holder, err := g.Store.Get(ctx, busyKey(r.Request))
	if err == nil && string(holder.Value) == r.Request.ID {
		ops = append(ops, store.Delete(busyKey(r.Request)))
	}
	return ops
}
