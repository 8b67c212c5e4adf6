// Package bundle holds the signed formats: the order (what may be done; approvers sign it), the bundle around it (when and
// where; the gateway signs it), the head of a cluster's queue, and the receipts and outcomes that a spoke signs.
//
// All are DSSE envelopes. Decoding is strict and comes before any use; verifying is package trust's. Nothing here does I/O
// or looks at a clock.
package bundle

import (
	"encoding/json"
	"fmt"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
)

// Format is the version of order and bundle that this code writes.
const Format = 1

// The longest lives that a judge accepts.
const (
	MaxBundleLife = 5 * time.Minute
	MaxOrderLife  = 24 * time.Hour
	OrderLife     = time.Hour // what the gateway gives
	// Skew is how far ahead of the judge's clock a beginning may lie. Ends have no grace.
	Skew = 30 * time.Second
)

// Audience names the one cluster that an order is for.
type Audience struct {
	TrustDomain string `json:"trustDomain"`
	Cluster     string `json:"cluster"`
	ClusterUID  string `json:"clusterUID"` // UID of the namespace kube-system
}

// Order says what may be done: it is what approvers read and sign.
type Order struct {
	Format          int                  `json:"format"`
	ID              string               `json:"id"`
	Audience        Audience             `json:"audience"`
	ValidFrom       time.Time            `json:"validFrom"`
	ValidUntil      time.Time            `json:"validUntil"`
	Action          string               `json:"action"`
	Target          catalogue.Target     `json:"target"`
	Parameters      json.RawMessage      `json:"parameters"`
	Observed        catalogue.Facts      `json:"observed"` // what it was judged on: the preconditions
	Tier            catalogue.Tier       `json:"tier"`     // as judged; judges compute the floor themselves
	DeadlineSeconds int64                `json:"deadlineSeconds"`
	Rules           []rbacv1.PolicyRule  `json:"rules"`
	Prediction      catalogue.Prediction `json:"prediction"`
	RequestID       string               `json:"requestID"`
	DecisionID      string               `json:"decisionID,omitempty"`
	PolicyDigest    string               `json:"policyDigest"`
	RehearsalDigest string               `json:"rehearsalDigest,omitempty"`
	// Template is what the action is, whole, where it is one of a site's own: whoever judges the order computes from it.
	Template *template.Definition `json:"template,omitempty"`
}

// Case is what the catalogue judges the order on. ok is false where the order names an action that is not in it; the case
// has no kind where the action does not take the target's.
func (o Order) Case() (action *catalogue.Action, c catalogue.Case, ok bool) {
	action, c, err := o.Resolve()
	return action, c, err == nil
}

// Resolve is Case, and says why there is none.
func (o Order) Resolve() (*catalogue.Action, catalogue.Case, error) {
	action, err := ActionOf(o.Action, o.Template)
	if err != nil {
		return nil, catalogue.Case{}, err
	}
	kind, _ := catalogue.Find(action.Kinds, o.Target)
	return action, catalogue.Case{Target: o.Target, Kind: kind, Parameters: o.Parameters, Facts: o.Observed, OrderID: o.ID}, nil
}

// ActionOf is the action of a name: that of the catalogue, or what a definition of the same name makes of it.
func ActionOf(name string, of *template.Definition) (*catalogue.Action, error) {
	if of == nil {
		if action, ok := catalogue.Actions()[name]; ok {
			return action, nil
		}
		return nil, fmt.Errorf("the catalogue has no %q", name)
	}
	if of.Name != name {
		return nil, fmt.Errorf("the template is of %q, the action is %q", of.Name, name)
	}
	action, err := template.Compile(*of)
	if err != nil {
		return nil, fmt.Errorf("the template of %s: %w", name, err)
	}
	return action, nil
}

// Bundle says when and where, and carries the order's envelope with the approvers' signatures.
type Bundle struct {
	Format      int             `json:"format"`
	ID          string          `json:"id"`
	Epoch       uint64          `json:"epoch"`
	Sequence    uint64          `json:"sequence"`
	Previous    string          `json:"previous"` // digest of the bundle before; empty for the first of an epoch
	NotBefore   time.Time       `json:"notBefore"`
	Expires     time.Time       `json:"expires"` // to start
	Traceparent string          `json:"traceparent,omitempty"`
	Order       json.RawMessage `json:"order"` // the order's envelope, byte for byte
}

// Head is the end of a cluster's queue, signed with every heartbeat so that withholding is seen.
type Head struct {
	Audience Audience  `json:"audience"`
	Epoch    uint64    `json:"epoch"`
	Sequence uint64    `json:"sequence"`
	Digest   string    `json:"digest,omitempty"`
	At       time.Time `json:"at"`
	// Freezes is nil where the gateway says nothing of them: for a spoke without capability.Freezes, and before it has read them.
	Freezes *Freezes `json:"freezes,omitempty"`
}

// Result is how an attempt ended.
type Result string

// The results.
const (
	Applied Result = "applied"
	Refused Result = "refused"
	Failed  Result = "failed"
)

// Receipt is what a spoke signs about what it did with a bundle.
type Receipt struct {
	Cluster      string           `json:"cluster"`
	BundleID     string           `json:"bundleID"`
	BundleDigest string           `json:"bundleDigest"`
	Epoch        uint64           `json:"epoch"`
	Sequence     uint64           `json:"sequence"`
	OrderID      string           `json:"orderID"`
	OrderDigest  string           `json:"orderDigest"`
	RequestID    string           `json:"requestID"`
	Result       Result           `json:"result"`
	Refusal      *refusal.Refusal `json:"refusal,omitempty"`
	Change       string           `json:"change,omitempty"`
	Generation   int64            `json:"generation,omitempty"`
	Artefact     string           `json:"artefact,omitempty"`   // digest of what was collected
	Credential   string           `json:"credential,omitempty"` // the issuer and its lease or token ID; never a secret
	StartedAt    time.Time        `json:"startedAt,omitzero"`
	FinishedAt   time.Time        `json:"finishedAt"`
	Spans        []Span           `json:"spans,omitempty"`
}

// Span is one step of the spoke, for the request's trace where no collector is configured.
type Span struct {
	Name  string    `json:"name"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Outcome is what a spoke signs about what came true of the prediction.
type Outcome struct {
	Cluster     string `json:"cluster"`
	BundleID    string `json:"bundleID"`
	OrderID     string `json:"orderID"`
	OrderDigest string `json:"orderDigest"`
	RequestID   string `json:"requestID"`
	Result      string `json:"result"` // CameTrue or DidNot
	Detail      string `json:"detail"`
	// Drift is what was not as predicted, as it was seen at the end; only with DidNot.
	Drift      []catalogue.Drift `json:"drift,omitempty"`
	ObservedAt time.Time         `json:"observedAt"`
	Spans      []Span            `json:"spans,omitempty"`
}

// The results of an outcome.
const (
	CameTrue = "CameTrue"
	DidNot   = "DidNot"
)
