package reasoning

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/signal"
)

// State is where a decision stands.
type State string

// The states.
const (
	Open     State = "open"     // persisted, and perhaps proposed
	Proposed State = "proposed" // the action request exists
	Rejected State = "rejected" // the API server does not want it
)

// Evidence is what was seen, as it was then.
type Evidence struct {
	Digest string          `json:"digest"` // of Signal
	Signal json.RawMessage `json:"signal"`
}

// Artefact is the reasoning: what led from the evidence to the choice.
type Artefact struct {
	Kind   string `json:"kind"` // "playbook"
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// Decision is what an agent saw, why it chose, what it chose, and what it predicts.
type Decision struct {
	ID          string           `json:"id"`
	AgentClass  string           `json:"agentClass"`
	At          time.Time        `json:"at"`
	Signals     []string         `json:"signals"` // IDs
	Evidence    []Evidence       `json:"evidence"`
	Reasoning   Artefact         `json:"reasoning"`
	Cluster     string           `json:"cluster"`
	Action      string           `json:"action"`
	Target      catalogue.Target `json:"target"`
	Parameters  json.RawMessage  `json:"parameters,omitempty"`
	Summary     string           `json:"summary"`
	Prediction  string           `json:"prediction"`
	Traceparent string           `json:"traceparent,omitempty"`
	State       State            `json:"state"`
	Problem     string           `json:"problem,omitempty"` // why it was rejected
	Outcome     *Outcome         `json:"outcome,omitempty"` // what came of it; nil until then
}

// decide makes the decision of a playbook that matches.
func decide(class string, p *Playbook, s signal.Signal, now time.Time) (Decision, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return Decision{}, fmt.Errorf("signal %s: %w", s.ID, err)
	}
	action := catalogue.Actions()[p.Spec.Propose.Action]
	target := targetOf(s.Object)
	kind, _ := catalogue.Find(action.Kinds, target)
	return Decision{
		ID: "d-" + strings.ToLower(rand.Text()), AgentClass: class, At: now,
		Signals: []string{s.ID}, Evidence: []Evidence{{Digest: bundle.Digest(raw), Signal: raw}},
		Reasoning: Artefact{Kind: "playbook", Name: p.Name, Digest: p.Digest},
		Cluster:   s.Cluster, Action: action.Name, Target: target, Parameters: p.Spec.Propose.Parameters,
		Summary:    p.Spec.Summary,
		Prediction: action.Predict(catalogue.Case{Target: target, Kind: kind, Parameters: p.Spec.Propose.Parameters}).String(),
		State:      Open,
	}, nil
}

// Proposal is what is asked of the gateway. Its name is the decision's ID: asked twice, it exists once.
type Proposal struct {
	Name        string
	Cluster     string
	Action      string
	Target      catalogue.Target
	Parameters  json.RawMessage
	Reason      string
	DecisionID  string
	Traceparent string
}

func (d Decision) proposal() Proposal {
	return Proposal{Name: d.ID, Cluster: d.Cluster, Action: d.Action, Target: d.Target, Parameters: d.Parameters,
		Reason: fmt.Sprintf("%s (signal %s)", d.Summary, strings.Join(d.Signals, ", ")), DecisionID: d.ID, Traceparent: d.Traceparent}
}
