package reasoning

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/store"
)

// Outcome is what came of a decision: how its request ended, what its agent is told of that, and what is not as predicted.
type Outcome struct {
	Phase  string            `json:"phase"`
	Reason string            `json:"reason,omitempty"` // of a refusal, from the closed set
	Says   string            `json:"says"`             // a denial's reason, too
	Drift  []catalogue.Drift `json:"drift,omitempty"`
}

// Asked is a request, as far as it has to do with the decision that it names.
type Asked struct {
	DecisionID, AgentClass, Cluster, Action string
	Target                                  catalogue.Target
	Outcome                                 *Outcome // nil while it is under way
}

// Learn reads the decision that a request names, and takes down on it what came of it, once. It is false where there is no such
// decision, or one that chose something else: a request may name what it likes. store.ErrConflict means that it must be called again.
func Learn(ctx context.Context, s store.Store, asked Asked) (Decision, bool, error) {
	d, version, err := load[Decision](ctx, s, decisionKey(asked.DecisionID))
	if err != nil || version == 0 || !d.chose(asked) {
		return Decision{}, false, err
	}
	if asked.Outcome == nil || reflect.DeepEqual(d.Outcome, asked.Outcome) {
		return d, true, nil
	}
	d.Outcome = asked.Outcome
	raw, err := json.Marshal(d)
	if err != nil {
		return d, true, err
	}
	return d, true, s.Commit(ctx, store.Check(decisionKey(d.ID), version), store.Put(decisionKey(d.ID), raw))
}

func (d Decision) chose(asked Asked) bool {
	chosen, wanted := d.Target, asked.Target
	chosen.UID, wanted.UID = "", "" // a request has none
	return d.ID == asked.DecisionID && d.AgentClass == asked.AgentClass && d.Cluster == asked.Cluster && d.Action == asked.Action && chosen == wanted
}
