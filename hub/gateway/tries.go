package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

const (
	// maxTries is how often the same action may miss on the same target, one time after the other, until an agent is told to
	// leave it to people.
	maxTries = 3
	// triesLast is how long a miss, or a change that was reverted, is held against an agent.
	triesLast = 24 * time.Hour
)

// tries are the last misses of one action on one target, since it last had its effect.
type tries struct {
	Missed []miss `json:"misses"`
	Told   bool   `json:"told,omitempty"` // people were asked to take over
}

// miss is one request that did not have its effect.
type miss struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// lately are the misses that still count.
func (t tries) lately(now time.Time) []miss {
	return slices.DeleteFunc(slices.Clone(t.Missed), func(m miss) bool { return now.Sub(m.At) > triesLast })
}

func triesKey(r Request) string {
	return triesPrefix + r.Cluster + "/" + r.Action + "/" + r.Target.String()
}

// tried reads the count; a version of 0 where there is none.
func (g *Gateway) tried(ctx context.Context, r Request) (t tries, version uint64, err error) {
	item, err := g.Store.Get(ctx, triesKey(r))
	if errors.Is(err, store.ErrNotFound) {
		return t, 0, nil
	}
	if err != nil {
		return t, 0, err
	}
	return t, item.Version, json.Unmarshal(item.Value, &t)
}

// triedInVain refuses an agent what did not help three times: people may go on. The first group is asked to take over, once, with the
// first of these refusals.
func (g *Gateway) triedInVain(ctx context.Context, r *Record, now time.Time) (no *refusal.Refusal, ops []store.Op, err error) {
	if r.Request.AgentClass == "" || r.Request.instead() {
		return nil, nil, nil
	}
	t, version, err := g.tried(ctx, r.Request)
	missed := t.lately(now)
	if err != nil || len(missed) < maxTries {
		return nil, nil, err
	}
	names := make([]string, 0, maxTries)
	for _, m := range missed {
		names = append(names, m.Name)
	}
	no = refusal.New("limit", refusal.TriedInVain, "%s of %s did not have its effect %d times (%s), last at %s: it takes a person to ask for it again",
		r.Request.Action, r.Request.Target, len(missed), strings.Join(names, ", "), missed[len(missed)-1].At.UTC().Format(time.RFC3339))
	if t.Told {
		return no, nil, nil
	}
	t.Told = true
	ops, err = g.handOver(r, no, now, store.Item{Key: triesKey(r.Request), Version: version}, t)
	return no, ops, err
}

// handOver prepares to ask the first group to take over what an agent is refused, and has the refusal say so. told is what to keep, in the
// place of what was there, so that it is done once; where there is nobody to ask, nothing is kept.
func (g *Gateway) handOver(r *Record, no *refusal.Refusal, now time.Time, there store.Item, told any) ([]store.Op, error) {
	group, ops, err := g.takeOver(r, no.Detail, now)
	if err != nil || group == "" {
		return nil, err
	}
	raw, err := json.Marshal(told)
	no.Detail = fmt.Sprintf("%s (%s was asked to take over)", no.Detail, group)
	return append(ops, store.Check(there.Key, there.Version), store.Put(there.Key, raw)), err
}

// takeOver prepares to ask the first group to take over, and names it; empty where there is nobody to ask.
func (g *Gateway) takeOver(r *Record, text string, now time.Time) (group string, ops []store.Op, err error) {
	return g.tellFirst(Notice{Record: *r, Escalated: true, At: now, Text: text})
}

// tellFirst prepares to tell the first group, and names it; empty where there is nobody to tell.
func (g *Gateway) tellFirst(n Notice) (group string, ops []store.Op, err error) {
	if g.Notifier == nil || len(g.Groups) == 0 {
		return "", nil, nil
	}
	n.Group = g.Groups[0].Name
	n.Hooks = g.Notifier.Hooks(catalogue.Target{APIVersion: catalogue.Group.APIVersion, Kind: catalogue.Group.Kind, Name: n.Group})
	if len(n.Hooks) == 0 {
		return "", nil, nil
	}
	ops, err = g.Notifier.Tell(n)
	return n.Group, ops, err
}

// learnTry counts a miss, or forgets those before where the action had its effect. It is written with the record, so once.
func (g *Gateway) learnTry(ctx context.Context, r *Record, now time.Time) ([]store.Op, error) {
	if r.Outcome == nil {
		return nil, nil
	}
	t, version, err := g.tried(ctx, r.Request)
	if err != nil {
		return nil, err
	}
	key := triesKey(r.Request)
	switch {
	case r.Outcome.Result == bundle.DidNot:
		missed := append(t.lately(now), miss{r.Request.Name, now.UTC()})
		t = tries{Missed: missed[max(0, len(missed)-maxTries):]}
		raw, err := json.Marshal(t)
		return []store.Op{store.Check(key, version), store.Put(key, raw)}, err
	case version == 0:
		return nil, nil
	}
	return []store.Op{store.Check(key, version), store.Delete(key)}, nil
}
