package gateway

import (
	"encoding/json"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
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
	Rollout     string           `json:"rollout,omitempty"` // UID of the Rollout in whose requester's stead the hub asks
	Undoes      string           `json:"undoes,omitempty"`  // ID of the request whose inverse this is
	Doubt       string           `json:"doubt,omitempty"`   // why it is not believed in whose stead the hub asks
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
	// Signature is over the order's bytes, by a key of the approver's own; nil where there is none.
	Signature *dsse.Signature `json:"signature,omitempty"`
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

// Asked is the rehearsal that the spoke is asked for, as it was signed.
type Asked struct {
	ID       string          `json:"id"`
	Digest   string          `json:"digest"`
	Expires  time.Time       `json:"expires"`
	Times    int             `json:"times"` // how many have been signed for this request
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
	Template      *template.Definition `json:"template,omitempty"` // what the action is, where it is one of this site's own
	Facts         *catalogue.Facts     `json:"facts,omitempty"`
	FactsProblem  string               `json:"factsProblem,omitempty"`
	Baseline      *int64               `json:"baseline,omitempty"` // replicas of late; below 0 where nobody counts them
	Holds         []string             `json:"holds,omitempty"`    // places under the limits of policies
	Verdict       *policy.Verdict      `json:"verdict,omitempty"`
	Rehearsal     *Asked               `json:"rehearsal,omitempty"`
	Rehearsed     *bundle.Rehearsed    `json:"rehearsed,omitempty"`
	RehearsedRaw  json.RawMessage      `json:"rehearsedRaw,omitempty"`
	Order         *bundle.Order        `json:"order,omitempty"`
	OrderEnvelope json.RawMessage      `json:"orderEnvelope,omitempty"`
	OrderDigest   string               `json:"orderDigest,omitempty"`
	RelaxedFor    time.Duration        `json:"relaxedFor,omitempty"` // how long what it relaxes stays so
	Words         []Word               `json:"words,omitempty"`
	Quorum        []string             `json:"quorum,omitempty"` // the words whose signatures count, at tier high
	Groups        []string             `json:"groups,omitempty"` // who were asked to approve it, in order
	IntentIndex   *uint64              `json:"intentIndex,omitempty"`
	Bundle        *Dispatched          `json:"bundle,omitempty"`
	TakenAt       *time.Time           `json:"takenAt,omitempty"`
	Blocked       string               `json:"blocked,omitempty"` // what the spoke said when it could not take the bundle
	Overdue       bool                 `json:"overdue,omitempty"` // expired before the spoke was heard of
	Receipt       *bundle.Receipt      `json:"receipt,omitempty"`
	ReceiptRaw    json.RawMessage      `json:"receiptRaw,omitempty"`
	Artefact      []byte               `json:"artefact,omitempty"` // what was collected: hostile
	Outcome       *bundle.Outcome      `json:"outcome,omitempty"`
	OutcomeRaw    json.RawMessage      `json:"outcomeRaw,omitempty"`

	Told      []string         `json:"told,omitempty"`      // the hooks that were to be told, by an action of the hub itself
	UndoneBy  string           `json:"undoneBy,omitempty"`  // the name of the request that undoes it
	Withdrawn string           `json:"withdrawn,omitempty"` // why it was taken back before anything was signed
	Refusal   *refusal.Refusal `json:"refusal,omitempty"`

	version uint64 // in the store; 0 before the first commit
}

// action is the catalogue's entry for the request, and the case it is judged on.
func (r *Record) action() (*catalogue.Action, catalogue.Case, bool) {
	action, err := bundle.ActionOf(r.Request.Action, r.Template)
	if err != nil {
		return nil, catalogue.Case{}, false
	}
	kind, ok := catalogue.Find(action.Kinds, r.Request.Target)
	c := catalogue.Case{Target: r.Request.Target, Kind: kind, Parameters: r.Request.Parameters}
	if r.Facts != nil {
		c.Facts, c.Target.UID = *r.Facts, r.Facts.UID
	}
	if r.Order != nil {
		c.OrderID = r.Order.ID
	}
	return action, c, ok
}

// begun reports whether there is no way back: something was signed, or done by the hub itself.
func (r *Record) begun() bool { return r.Bundle != nil || r.Receipt != nil }

// onHub reports whether the action is one that the hub carries out itself.
func (r *Record) onHub() bool { return catalogue.OnHub(r.Request.Action) }

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
	openPrefix   = "open/"   // records with a next step, for the restart
	busyPrefix   = "busy/"   // targets that an action is under way for
	headPrefix   = "head/"   // the last sequence signed, per cluster
	triesPrefix  = "tries/"  // what did not have its effect, per cluster, action and target
	latestPrefix = "latest/" // the last change, per cluster and target
	queuePrefix  = "queue/"  // bundles not yet taken, per cluster, in order
)

// orderPrefix begins the ID of every order; the ID of its request follows.
const orderPrefix = "order-"

func recordKey(id string) string { return recordPrefix + id }
func openKey(id string) string   { return openPrefix + id }
func busyKey(r Request) string   { return busyPrefix + r.Cluster + "/" + r.Target.String() }
