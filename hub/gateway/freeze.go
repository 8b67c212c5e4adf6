package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/hub/store"
)

// Freeze is what somebody declared to be frozen: everything, or what the one scope that is set names.
type Freeze struct {
	UID        string     `json:"uid"`
	Name       string     `json:"name"`
	Scope      string     `json:"scope"` // in words
	Cluster    string     `json:"cluster,omitempty"`
	AgentClass string     `json:"agentClass,omitempty"`
	Action     string     `json:"action,omitempty"`
	Reason     string     `json:"reason"`
	By         string     `json:"by"`
	Until      *time.Time `json:"until,omitempty"`
	// RevokeCredentials has what was started stopped too, and its credentials ended.
	RevokeCredentials bool `json:"revokeCredentials,omitempty"`

	Thawed   bool   `json:"-"`
	ThawedBy string `json:"-"`
}

// Announcer has every spoke told of what is frozen, now and not with the next heartbeat. It does not block.
type Announcer interface {
	Announce()
}

// freezeKey holds what was frozen last, for the restart.
const freezeKey = "freeze"

// frozen is all that is frozen. It is not changed once it is made.
type frozen struct {
	Generation uint64   `json:"generation"`
	Active     []Freeze `json:"active"`

	withdrawn map[string]map[string][]string // bundle IDs by agent class and cluster
}

func (f Freeze) holds(now time.Time) bool {
	return !f.Thawed && (f.Until == nil || now.Before(*f.Until))
}

func (f Freeze) stops(r Request) bool {
	return (f.Cluster == "" || f.Cluster == r.Cluster) && (f.AgentClass == "" || f.AgentClass == r.AgentClass) &&
		(f.Action == "" || f.Action == r.Action)
}

// said is the freeze as a spoke hears it.
func (f Freeze) said() bundle.Freeze {
	out := bundle.Freeze{Name: f.Name, By: f.By, Reason: f.Reason, Action: f.Action, AgentClass: f.AgentClass, RevokeCredentials: f.RevokeCredentials}
	if f.Until != nil {
		out.Until = f.Until.UTC()
	}
	return out
}

// judge refuses a request that is frozen now.
func (f *frozen) judge(r *Record, now time.Time) *refusal.Refusal {
	for _, freeze := range f.Active {
		if freeze.holds(now) && freeze.stops(r.Request) {
			return freeze.said().Refuse(r.Next)
		}
	}
	return nil
}

// Freeze puts into force what is frozen, as it is declared now. When it returns, nothing in the scope of a new freeze is being
// signed or will be, it is on the audit log, and the spokes are being told. A scope that was thawed is open once they are.
func (g *Gateway) Freeze(ctx context.Context, declared []Freeze) error {
	g.freezing.Lock()
	defer g.freezing.Unlock()
	before, version, err := g.lastFrozen(ctx)
	if err != nil {
		return err
	}
	now := g.now()
	next := &frozen{Active: slices.DeleteFunc(slices.Clone(declared), func(f Freeze) bool { return !f.holds(now) })}
	slices.SortFunc(next.Active, func(a, b Freeze) int { return strings.Compare(a.UID, b.UID) })
	if g.published.Load() != nil && same(before.Active, next.Active) {
		return nil
	}
	// Past the clock, so that a hub restored from a backup does not count again what spokes have heard.
	next.Generation = max(before.Generation+1, uint64(max(0, now.UnixMilli())))
	g.signers.Lock() // whoever signs without knowing of it has committed then
	g.stopped.Store(&frozen{Active: slices.Concat(before.Active, next.Active)})
	g.signers.Unlock()
	if next.withdrawn, err = g.withdraw(ctx, next.Active); err != nil {
		return err
	}
	if err := g.recordFreezes(ctx, before.Active, next.Active, declared, now); err != nil {
		return err
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := g.Store.Commit(ctx, store.Check(freezeKey, version), store.Put(freezeKey, raw)); err != nil {
		return err
	}
	g.published.Store(next)
	if g.Announcer != nil {
		g.Announcer.Announce()
	}
	g.stopped.Store(next)
	return g.Reconsider(ctx)
}

func (g *Gateway) lastFrozen(ctx context.Context) (f frozen, version uint64, err error) {
	item, err := g.Store.Get(ctx, freezeKey)
	if errors.Is(err, store.ErrNotFound) {
		return f, 0, nil
	}
	if err != nil {
		return f, 0, err
	}
	if err := json.Unmarshal(item.Value, &f); err != nil {
		return f, 0, fmt.Errorf("what is frozen: %w", err)
	}
	return f, item.Version, nil
}

func same(a, b []Freeze) bool {
	return slices.EqualFunc(a, b, func(a, b Freeze) bool { return a.UID == b.UID })
}

// withdraw lists the bundles of frozen agent classes that were signed and of which no receipt has come.
func (g *Gateway) withdraw(ctx context.Context, active []Freeze) (map[string]map[string][]string, error) {
	withdrawn := map[string]map[string][]string{}
	for _, freeze := range active {
		if freeze.AgentClass != "" {
			withdrawn[freeze.AgentClass] = map[string][]string{}
		}
	}
	if len(withdrawn) == 0 {
		return nil, nil
	}
	err := each(ctx, g.Store, openPrefix, func(item store.Item) error {
		r, err := g.load(ctx, item.Key[len(openPrefix):])
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if clusters := withdrawn[r.Request.AgentClass]; clusters != nil && r.Bundle != nil && r.Receipt == nil {
			clusters[r.Request.Cluster] = append(clusters[r.Request.Cluster], r.Bundle.ID)
		}
		return nil
	})
	return withdrawn, err
}

// recordFreezes puts on the audit log what was frozen and what is not any more. A hub killed before the store knows says it again.
func (g *Gateway) recordFreezes(ctx context.Context, before, next, declared []Freeze, now time.Time) error {
	has := func(list []Freeze, uid string) (Freeze, bool) {
		i := slices.IndexFunc(list, func(f Freeze) bool { return f.UID == uid })
		if i < 0 {
			return Freeze{}, false
		}
		return list[i], true
	}
	var entries []auditlog.Entry
	add := func(f Freeze, state auditlog.FreezeState, by string) {
		entries = append(entries, auditlog.Entry{Type: auditlog.TypeFreeze, Time: now.UTC(), Freeze: &auditlog.Freeze{
			Name: f.Name, UID: f.UID, Scope: f.Scope, State: state, By: by, Reason: f.Reason, Until: f.Until}})
	}
	for _, f := range next {
		if _, known := has(before, f.UID); !known {
			add(f, auditlog.Frozen, f.By)
		}
	}
	for _, f := range before {
		if _, still := has(next, f.UID); still {
			continue
		}
		switch now, known := has(declared, f.UID); {
		case !known:
			add(f, auditlog.Thawed, "somebody who deleted it")
		case now.Thawed:
			add(f, auditlog.Thawed, now.ThawedBy)
		default:
			add(f, auditlog.Ended, "")
		}
	}
	if len(entries) == 0 {
		return nil
	}
	_, err := g.Audit.Append(ctx, entries...)
	return err
}

// Frozen is what a cluster's spoke must hold; nil while that is not yet known.
func (g *Gateway) Frozen(cluster string) *bundle.Freezes {
	all := g.published.Load()
	if all == nil {
		return nil
	}
	out := bundle.Freezes{Generation: all.Generation, Active: []bundle.Freeze{}}
	for _, freeze := range all.Active {
		if freeze.Cluster != "" && freeze.Cluster != cluster {
			continue
		}
		said := freeze.said()
		if freeze.AgentClass != "" {
			said.Bundles = all.withdrawn[freeze.AgentClass][cluster]
		}
		out.Active = append(out.Active, said)
	}
	out = out.Bounded()
	return &out
}
