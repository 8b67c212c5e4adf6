package bundle

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/refusal"
)

// Freezes is all that is frozen in one cluster, as the gateway signs it in a head. A higher generation replaces a lower one as
// a whole; two lists of one generation are the same.
type Freezes struct {
	Generation uint64   `json:"generation"`
	Active     []Freeze `json:"active"`
}

// Freeze is one of them. Without an action and without bundles it stops everything.
type Freeze struct {
	Name   string `json:"name"`
	By     string `json:"by"`
	Reason string `json:"reason"`
	// Action is the one that is stopped.
	Action string `json:"action,omitempty"`
	// AgentClass is whose bundles are stopped. An order does not say who asked: Bundles are the IDs of those that were signed
	// and of which no receipt has come; nothing was signed for the class since.
	AgentClass string    `json:"agentClass,omitempty"`
	Bundles    []string  `json:"bundles,omitempty"`
	Until      time.Time `json:"until,omitzero"` // zero: until it is thawed
	// RevokeCredentials has what was started stopped too, and its credentials ended. Only for a spoke of capability.Withdrawals.
	RevokeCredentials bool `json:"revokeCredentials,omitempty"`
}

// maxFreezes bounds the payload of a list in a head, in bytes.
const maxFreezes = 16 << 10

// Bounded is the list as it fits into a head: one that would be too long freezes the whole cluster instead.
func (f Freezes) Bounded() Freezes {
	if raw, err := json.Marshal(f); err == nil && len(raw) <= maxFreezes {
		return f
	}
	ends := slices.ContainsFunc(f.Active, func(one Freeze) bool { return one.RevokeCredentials })
	return Freezes{Generation: f.Generation, Active: []Freeze{{Name: Many, By: "the hub",
		Reason: "more is frozen than a head can say, so everything is", RevokeCredentials: ends}}}
}

// Many is the name under which everything is frozen where a head cannot say what is.
const Many = "many"

// Spared is the list for a spoke that cannot end what it has started.
func (f Freezes) Spared() Freezes {
	f.Active = slices.Clone(f.Active)
	for i := range f.Active {
		f.Active[i].RevokeCredentials = false
	}
	return f
}

// Same reports whether two lists freeze the same. What becomes of credentials is not compared: a spoke that was upgraded hears more of a
// list that it knows, and has started nothing since.
func (f Freezes) Same(other Freezes) bool {
	a, errA := json.Marshal(f.Spared())
	b, errB := json.Marshal(other.Spared())
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// Judge refuses what is frozen now; nil lets it pass.
func (f Freezes) Judge(bundleID, action string, now time.Time) *refusal.Refusal {
	for _, freeze := range f.Active {
		if freeze.stops(bundleID, action) && (freeze.Until.IsZero() || now.Before(freeze.Until)) {
			return freeze.Refuse("claim")
		}
	}
	return nil
}

// Revokes refuses to go on with what was started, where its credential is to end now; nil lets it go on.
func (f Freezes) Revokes(bundleID, action string, now time.Time) *refusal.Refusal {
	for _, freeze := range f.Active {
		if freeze.RevokeCredentials && freeze.stops(bundleID, action) && (freeze.Until.IsZero() || now.Before(freeze.Until)) {
			return freeze.Refuse("execute")
		}
	}
	return nil
}

func (f Freeze) stops(bundleID, action string) bool {
	if f.AgentClass != "" {
		return slices.Contains(f.Bundles, bundleID)
	}
	return f.Action == "" || f.Action == action
}

// Refuse says no in the name of the freeze.
func (f Freeze) Refuse(step string) *refusal.Refusal {
	until := "until it is thawed"
	if !f.Until.IsZero() {
		until = "until " + f.Until.UTC().Format(time.RFC3339)
	}
	return refusal.New(step, refusal.Frozen, "freeze %s of %s, %s: %s; ask again then", f.Name, f.By, until, f.Reason)
}
