package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// The keys under which what policies bound is counted. It is on disk: a restart forgets no request and no action under way.
const (
	tallyPrefix = "tally/" // by limit: when requests were let through
	heldPrefix  = "held/"  // by limit: the actions under way, each with its cluster
)

// maxLimits bounds how many limits one request is counted under: all that is counted is in one commit.
const maxLimits = 24

// scanPage is how many holders are read at once.
const scanPage = 512

// places is what a request adds to what is counted.
type places struct {
	ops   []store.Op
	holds []string // keys to delete once the action is no longer under way
}

// tally is when requests of one limit were let through, in milliseconds since 1970, the oldest first. Whoever counts writes it,
// if it is still as it was read: of two that want the last place one gets it.
type tally struct {
	Passed []int64 `json:"passed"`
}

// count counts a request under each limit of the policies that match it, or refuses it.
func (g *Gateway) count(ctx context.Context, r *Record, now time.Time) (places, *refusal.Refusal, error) {
	limits := g.Policies.Policies().Limits(g.question(r, now))
	if len(limits) > maxLimits {
		return places{}, refusal.New("limit", refusal.PolicyDenied, "%d limits of policies match, at most %d can be counted", len(limits), maxLimits), nil
	}
	var all places
	for _, l := range limits {
		no, err := g.countOne(ctx, r, l, now, &all)
		if no != nil || err != nil {
			return places{}, no, err
		}
	}
	return all, nil, nil
}

// nameOf is under what a limit counts: names of policies and groups may be longer than a key.
func nameOf(l policy.Limit) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", l.Policy, l.Name, l.Group))
	return hex.EncodeToString(sum[:16])
}

func (g *Gateway) countOne(ctx context.Context, r *Record, l policy.Limit, now time.Time, all *places) (*refusal.Refusal, error) {
	name := nameOf(l)
	item, err := g.Store.Get(ctx, tallyPrefix+name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	var t tally
	if len(item.Value) > 0 {
		if err := json.Unmarshal(item.Value, &t); err != nil {
			return nil, fmt.Errorf("tally of limit %s of policy %s: %w", l.Name, l.Policy, err)
		}
	}
	if r.Request.Undoes == "" { // there is one undo for what has passed
		if no := t.pass(l, now); no != nil {
			return no, nil
		}
	}
	if l.Concurrent > 0 || l.ClustersPercent != nil {
		no, err := g.hold(ctx, r, l, name)
		if no != nil || err != nil {
			return no, err
		}
		key := heldPrefix + name + "/" + r.Request.ID
		all.ops, all.holds = append(all.ops, store.Put(key, []byte(r.Request.Cluster))), append(all.holds, key)
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	all.ops = append(all.ops, store.Check(tallyPrefix+name, item.Version), store.Put(tallyPrefix+name, raw))
	return nil, nil
}

// pass counts a request at a time, or refuses it.
func (t *tally) pass(l policy.Limit, now time.Time) *refusal.Refusal {
	if l.Requests == 0 {
		return nil
	}
	oldest, kept := now.Add(-l.Within).UnixMilli(), make([]int64, 0, len(t.Passed)+1)
	for _, at := range t.Passed {
		if at > oldest {
			kept = append(kept, at)
		}
	}
	if len(kept) >= l.Requests {
		free := time.UnixMilli(kept[len(kept)-l.Requests]).Add(l.Within).UTC().Format(time.RFC3339)
		return refusal.New("limit", refusal.RateLimited, "policy %s: limit %s%s lets %d requests through within %s: ask again at %s",
			l.Policy, l.Name, group(l), l.Requests, l.Within, free)
	}
	kept = append(kept, now.UnixMilli())
	t.Passed = kept
	return nil
}

// hold looks whether one more action may be under way.
func (g *Gateway) hold(ctx context.Context, r *Record, l policy.Limit, name string) (*refusal.Refusal, error) {
	under, clusters, after := 0, map[string]bool{}, ""
	for {
		items, err := g.Store.Scan(ctx, heldPrefix+name+"/", after, scanPage)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			after = item.Key
			if item.Key == heldPrefix+name+"/"+r.Request.ID {
				continue
			}
			under++
			clusters[string(item.Value)] = true
		}
		if len(items) < scanPage {
			break
		}
	}
	if l.Concurrent > 0 && under >= l.Concurrent {
		return refusal.New("limit", refusal.ConcurrencyLimited, "policy %s: limit %s%s lets %d actions be under way at once: wait for a receipt",
			l.Policy, l.Name, group(l), l.Concurrent), nil
	}
	if l.ClustersPercent == nil || clusters[r.Request.Cluster] {
		return nil, nil
	}
	fleet := g.Policies.Clusters()
	if most := max(1, fleet*int(*l.ClustersPercent)/100); len(clusters)+1 > most {
		return refusal.New("limit", refusal.BlastRadius, "policy %s: actions are under way in %d of %d clusters, at most %d %% are allowed: wait for their receipts",
			l.Policy, len(clusters), fleet, *l.ClustersPercent), nil
	}
	return nil, nil
}

func group(l policy.Limit) string {
	if l.Group == "" {
		return ""
	}
	return " (" + l.Group + ")"
}
