package gateway

import (
	"encoding/json"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
)

// Request is what was asked, copied once from the object in which it was asked.
type Request struct {
	ID          string           `json:"id"` // UID of the ActionRequest
	Namespace   string           `json:"namespace"`
	Name        string           `json:"name"`
	Cluster     string           `json:"cluster"`
	Action      string           `json:"action"`
	Target      catalogue.Target `json:"target"`
	Parameters  json.RawMessage  `json:"parameters"`
	Reason      string           `json:"reason,omitempty"`
	AgentClass  string           `json:"agentClass,omitempty"`
	Requester   string           `json:"requester"`
	DecisionID  string           `json:"decisionID,omitempty"`
	Traceparent string           `json:"traceparent,omitempty"`
	CreatedAt   time.Time        `json:"createdAt"`
}

// Word is what one approver said, copied once from the Approval object.
type Word struct {
	ID          string    `json:"id"` // UID of the Approval
	Approver    string    `json:"approver"`
	Approve     bool      `json:"approve"`
	OrderDigest string    `json:"orderDigest"`
	Reason      string    `json:"reason,omitempty"`
	At          time.Time `json:"at"`
}

// Taken is one step of the life that has been taken.
type Taken struct {
	Step    string    `json:"step"`
	Result  Result    `json:"result"`
	Detail  string    `json:"detail,omitempty"`
	Entered time.Time `json:"entered"`
	Left    time.Time `json:"left"`
}

// Dispatched is the bundle as it was signed.
type Dispatched struct {
	ID       string          `json:"id"`
	Epoch    uint64          `json:"epoch"`
	Sequence uint64          `json:"sequence"`
	Digest   string          `json:"digest"`
	Expires  time.Time       `json:"expires"`
	Envelope json.RawMessage `json:"envelope"`
}

// Record is the truth about one action, from its request to its close. It is kept in the store; everything else that shows
// an action is a projection of it.
type Record struct {
	Request Request   `json:"request"`
	Trace   string    `json:"trace"` // traceparent under which the steps are spans
	Next    string    `json:"next"`  // the step to take; empty once closed
	Entered time.Time `json:"entered"`
	Steps   []Taken   `json:"steps"`
	Waiting string    `json:"waiting,omitempty"` // what the next step waits for, in words

	// Evidence, in the order in which the steps add it.
	Facts         *catalogue.Facts `json:"facts,omitempty"`
	FactsProblem  string           `json:"factsProblem,omitempty"`
	Verdict       *policy.Verdict  `json:"verdict,omitempty"`
	Order         *bundle.Order    `json:"order,omitempty"`
	OrderEnvelope json.RawMessage  `json:"orderEnvelope,omitempty"`
	OrderDigest   string           `json:"orderDigest,omitempty"`
	Words         []Word           `json:"words,omitempty"`
	IntentIndex   *uint64          `json:"intentIndex,omitempty"`
	Bundle        *Dispatched      `json:"bundle,omitempty"`
	TakenAt       *time.Time       `json:"takenAt,omitempty"`
	Blocked       string           `json:"blocked,omitempty"` // what the spoke said when it could not take the bundle
	Overdue       bool             `json:"overdue,omitempty"` // expired before the spoke was heard of
	Receipt       *bundle.Receipt  `json:"receipt,omitempty"`
	ReceiptRaw    json.RawMessage  `json:"receiptRaw,omitempty"`
	Outcome       *bundle.Outcome  `json:"outcome,omitempty"`
	OutcomeRaw    json.RawMessage  `json:"outcomeRaw,omitempty"`

	Refusal *refusal.Refusal `json:"refusal,omitempty"`

	version uint64 // in the store; 0 before the first commit
}

// action is the catalogue's entry for the request, and the case it is judged on.
func (r *Record) action() (*catalogue.Action, catalogue.Case, bool) {
	action, ok := catalogue.Actions()[r.Request.Action]
	if !ok {
		return nil, catalogue.Case{}, false
	}
	kind, ok := catalogue.Find(action.Kinds, r.Request.Target)
	c := catalogue.Case{Target: r.Request.Target, Kind: kind, Parameters: r.Request.Parameters}
	if r.Facts != nil {
		c.Facts, c.Target.UID = *r.Facts, r.Facts.UID
	}
	return action, c, ok
}

// Inverse is the action that undoes this one, where there is one and it was applied.
func (r *Record) Inverse() *catalogue.Undo {
	action, c, ok := r.action()
	if !ok || r.Receipt == nil || r.Receipt.Result != bundle.Applied {
		return nil
	}
	return action.Inverse(c)
}

// The keys under which the gateway keeps its state.
const (
	recordPrefix = "action/"
	openPrefix   = "open/"  // records with a next step, for the restart
	busyPrefix   = "busy/"  // targets that an action is under way for
	headPrefix   = "head/"  // the last sequence signed, per cluster
	queuePrefix  = "queue/" // bundles not yet taken, per cluster, in order
)

func recordKey(id string) string { return recordPrefix + id }
func openKey(id string) string   { return openPrefix + id }
func busyKey(r Request) string   { return busyPrefix + r.Cluster + "/" + r.Target.String() }
