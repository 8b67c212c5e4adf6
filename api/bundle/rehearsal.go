package bundle

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
)

// The payload types of a rehearsal. It is none of an order's: nothing that executes reads it.
const (
	RehearsalType = "application/vnd.writ.rehearsal.v1+json"
	RehearsedType = "application/vnd.writ.rehearsed.v1+json"
)

// MaxRehearsalLife is the longest that a rehearsal may be begun.
const MaxRehearsalLife = 5 * time.Minute

// Rehearsal says what is to be tried out without being done: the gateway signs it. It stands beside a cluster's sequence and
// does not move it. It has no approvals, no prediction and no place in a bundle: it cannot be executed.
type Rehearsal struct {
	Format          int                 `json:"format"`
	ID              string              `json:"id"` // another one each time
	Audience        Audience            `json:"audience"`
	NotBefore       time.Time           `json:"notBefore"`
	Expires         time.Time           `json:"expires"` // to begin
	OrderID         string              `json:"orderID"` // of the order that is to follow
	Action          string              `json:"action"`
	Target          catalogue.Target    `json:"target"`
	Parameters      json.RawMessage     `json:"parameters"`
	Observed        catalogue.Facts     `json:"observed"`
	Tier            catalogue.Tier      `json:"tier"`
	DeadlineSeconds int64               `json:"deadlineSeconds"`
	Rules           []rbacv1.PolicyRule `json:"rules"`
	RequestID       string              `json:"requestID"`
	PolicyDigest    string              `json:"policyDigest"`
	Traceparent     string              `json:"traceparent,omitempty"`
	// Template is that of the order.
	Template *template.Definition `json:"template,omitempty"`
}

// Draft is the order that would follow, as far as a rehearsal says it: for whoever judges orders. Nobody has signed it.
func (r Rehearsal) Draft() Order {
	o := Order{Format: r.Format, ID: r.OrderID, Audience: r.Audience, ValidFrom: r.NotBefore, ValidUntil: r.Expires, Action: r.Action,
		Target: r.Target, Parameters: r.Parameters, Observed: r.Observed, Tier: r.Tier, DeadlineSeconds: r.DeadlineSeconds, Rules: r.Rules,
		RequestID: r.RequestID, PolicyDigest: r.PolicyDigest, Template: r.Template}
	if action, c, ok := o.Case(); ok && c.Kind != (catalogue.Kind{}) && action.Validate(o.Parameters) == nil {
		o.Prediction = action.Predict(c)
	}
	return o
}

// Place is where a rehearsal was done.
type Place string

// The places.
const (
	// InProcess: the spoke itself, with the rehearsal's identity.
	InProcess Place = "InProcess"
	// Sandbox: a Job of its own in the cluster, with the rehearsal's identity.
	Sandbox Place = "Sandbox"
)

// The checks of a rehearsal, in their order.
const (
	CheckSchema = "schema" // action, parameters, target and rights are what the catalogue makes of them
	CheckPolicy = "policy" // the cluster's own policy
	CheckDryRun = "dryRun" // the API server, with its admission
)

// Check is one thing that was checked.
type Check struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail,omitempty"`
}

// Rehearsed is what a spoke signs about a rehearsal.
type Rehearsed struct {
	Cluster         string           `json:"cluster"`
	RehearsalID     string           `json:"rehearsalID"`
	RehearsalDigest string           `json:"rehearsalDigest"` // of the rehearsal's envelope
	RequestID       string           `json:"requestID"`
	Place           Place            `json:"place"`
	Checks          []Check          `json:"checks"`
	Refusal         *refusal.Refusal `json:"refusal,omitempty"` // what an execution would meet; nil where nothing stood in its way
	Change          string           `json:"change,omitempty"`  // in words
	Diff            *diff.Diff       `json:"diff,omitempty"`
	Digest          string           `json:"digest,omitempty"` // of the diff: what the order carries
	Credential      string           `json:"credential,omitempty"`
	StartedAt       time.Time        `json:"startedAt"`
	FinishedAt      time.Time        `json:"finishedAt"`
}

// OpenRehearsal reads the envelope of a rehearsal.
func OpenRehearsal(raw []byte) (*dsse.Envelope, Rehearsal, *refusal.Refusal) {
	envelope, payload, no := Open(raw, RehearsalType)
	if no != nil {
		return nil, Rehearsal{}, no
	}
	var r Rehearsal
	if err := decode(payload, &r); err != nil {
		return nil, Rehearsal{}, refusal.New(step, refusal.Malformed, "rehearsal: %v", err)
	}
	return envelope, r, nil
}

// maxRehearsed bounds the envelope of what a spoke says of a rehearsal, in bytes.
const maxRehearsed = 96 << 10

// OpenRehearsed reads the envelope of what a spoke says of a rehearsal, and refuses what is not whole in itself.
func OpenRehearsed(raw []byte) (*dsse.Envelope, Rehearsed, *refusal.Refusal) {
	if len(raw) > maxRehearsed {
		return nil, Rehearsed{}, refusal.New(step, refusal.TooLarge, "%d bytes are more than the %d allowed of %s", len(raw), maxRehearsed, RehearsedType)
	}
	envelope, payload, no := Open(raw, RehearsedType)
	if no != nil {
		return nil, Rehearsed{}, no
	}
	var r Rehearsed
	err := decode(payload, &r)
	if err == nil {
		err = r.whole()
	}
	if err != nil {
		return nil, Rehearsed{}, refusal.New(step, refusal.Malformed, "rehearsed: %v", err)
	}
	return envelope, r, nil
}

// whole refuses a word that contradicts itself, or that is more than people can read.
func (r Rehearsed) whole() error {
	switch {
	case r.Place != InProcess && r.Place != Sandbox:
		return fmt.Errorf("place %q is none", r.Place)
	case len(r.Checks) > 8:
		return fmt.Errorf("%d checks are more than there are", len(r.Checks))
	case (r.Refusal == nil) != (r.Diff != nil):
		return fmt.Errorf("it must either have a diff or say why there is none")
	case r.Diff == nil && r.Digest != "":
		return fmt.Errorf("a digest of no diff")
	case r.Diff == nil:
		return nil
	}
	if err := r.Diff.Check(); err != nil {
		return fmt.Errorf("the diff: %w", err)
	}
	if r.Digest != r.Diff.Digest() {
		return fmt.Errorf("the digest is not of its diff")
	}
	return nil
}
