// Package auditlog holds what is on the audit log and how anybody checks it: the entries, their strict encoding, the offline
// verification of a log's folder, and the story of one request.
//
// The log is a C2SP tlog-tiles folder with a signed checkpoint. Verifying promises to find any byte that is not as the hub
// wrote it, any order without an answer and any answer without an order. This package never writes to a log.
package auditlog

import (
	"encoding/json"
	"time"
)

// Format is the version of the entries that this code writes.
const Format = 1

// MaxEntry is the largest entry, in bytes: what a tlog-tiles entry bundle can hold.
const MaxEntry = 1<<16 - 1

// Origin is the name of a trust domain's audit log, in its checkpoints and its keys (C2SP tlog-checkpoint).
func Origin(trustDomain string) string { return "writ.dev/audit/" + trustDomain }

// Type says what an entry records. The set is closed.
type Type string

// The types. Each has one field of Entry of the same name, which is set and no other.
const (
	TypeEnrolment Type = "enrolment"
	TypeRefusal   Type = "refusal"
	TypeEscalated Type = "escalated"
	TypeApproval  Type = "approval"
	TypeIntent    Type = "intent"
	TypeReceipt   Type = "receipt"
	TypeOutcome   Type = "outcome"
	TypeCarried   Type = "carried"
	TypeObserved  Type = "observed"
	TypeExpired   Type = "expired"
	TypeReset     Type = "reset"
	TypeRevoked   Type = "revoked"
	TypeFreeze    Type = "freeze"
	TypeTrustRoot Type = "trustRoot"
	TypeAuthority Type = "authority"
)

// Types are all types, in the order in which an action meets them.
var Types = []Type{TypeEnrolment, TypeReset, TypeRevoked, TypeFreeze, TypeTrustRoot, TypeAuthority, TypeRefusal, TypeEscalated, TypeApproval, TypeIntent, TypeExpired, TypeReceipt, TypeOutcome, TypeCarried, TypeObserved}

// Entry is one leaf of the log.
type Entry struct {
	V       int       `json:"v"` // set by Encode
	Type    Type      `json:"type"`
	Time    time.Time `json:"time"`
	Cluster string    `json:"cluster,omitempty"`
	Request *Request  `json:"request,omitempty"` // set on all that are about one

	Enrolment *Enrolment `json:"enrolment,omitempty"`
	Refusal   *Refusal   `json:"refusal,omitempty"`
	Escalated *Escalated `json:"escalated,omitempty"`
	Approval  *Approval  `json:"approval,omitempty"`
	Intent    *Intent    `json:"intent,omitempty"`
	Receipt   *Receipt   `json:"receipt,omitempty"`
	Outcome   *Outcome   `json:"outcome,omitempty"`
	Expired   *Expired   `json:"expired,omitempty"`
	Reset     *Reset     `json:"reset,omitempty"`
	Revoked   *Revoked   `json:"revoked,omitempty"`
	Freeze    *Freeze    `json:"freeze,omitempty"`
	TrustRoot *TrustRoot `json:"trustRoot,omitempty"`
	Authority *Authority `json:"authority,omitempty"`
	Carried   *Carried   `json:"carried,omitempty"`
	Observed  *Observed  `json:"observed,omitempty"`
}

// Request names an ActionRequest.
type Request struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// Enrolment records that a cluster joined, and the key by which its receipts and outcomes are to be checked from here on.
type Enrolment struct {
	ClusterUID string `json:"clusterUID"` // UID of the namespace kube-system
	SVID       string `json:"svid"`       // the SPIFFE ID that was issued
	ReceiptKey string `json:"receiptKey"` // Ed25519 public key, PKIX PEM
}

// Reset records that the root keys let a cluster's sequence begin anew.
type Reset struct {
	Epoch    uint64          `json:"epoch"`
	Envelope json.RawMessage `json:"envelope"` // DSSE, bundle.ResetType
}

// Freeze records that something was frozen, or is not any more.
type Freeze struct {
	Name   string      `json:"name"`
	UID    string      `json:"uid"`
	Scope  string      `json:"scope"` // in words
	State  FreezeState `json:"state"`
	By     string      `json:"by,omitempty"` // who froze or thawed; empty where it ended by itself
	Reason string      `json:"reason"`       // of freezing
	Until  *time.Time  `json:"until,omitempty"`
}

// FreezeState is what became of a freeze.
type FreezeState string

// The states.
const (
	Frozen FreezeState = "frozen"
	Thawed FreezeState = "thawed"
	Ended  FreezeState = "ended"
)

// Revoked records that a cluster's identity has ended.
type Revoked struct {
	Reason string `json:"reason"`
}

// Refusal records that a request ended without a bundle.
type Refusal struct {
	Step        string `json:"step"`
	Reason      string `json:"reason"`
	Detail      string `json:"detail"`
	OrderDigest string `json:"orderDigest,omitempty"` // where an order had been made
}

// Escalated records that the next group was asked to approve an order, since those who were asked before had not let it through.
type Escalated struct {
	Group       string `json:"group"`
	OrderDigest string `json:"orderDigest"`
}

// Approval records a person's word on an order.
type Approval struct {
	Approver    string  `json:"approver"`
	Verdict     Verdict `json:"verdict"`
	Reason      string  `json:"reason,omitempty"`
	OrderDigest string  `json:"orderDigest"`
}

// Verdict is what an approver said.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Deny    Verdict = "deny"
)

// Intent records what is about to be ordered, before anything leaves the hub.
type Intent struct {
	Action       string    `json:"action"`
	Target       string    `json:"target"`
	Tier         string    `json:"tier"`
	OrderID      string    `json:"orderID"`
	OrderDigest  string    `json:"orderDigest"`
	OrderEnds    time.Time `json:"orderEnds"` // from here on an intent without an answer is a gap
	PolicyDigest string    `json:"policyDigest"`
	DecisionID   string    `json:"decisionID,omitempty"`
	Undoes       string    `json:"undoes,omitempty"` // UID of the request that it undoes
	Requester    string    `json:"requester"`
	Approvers    []string  `json:"approvers,omitempty"`
}

// Receipt carries a spoke's word on what it did, whole.
type Receipt struct {
	BundleDigest string          `json:"bundleDigest"`
	Sequence     uint64          `json:"sequence"`
	Envelope     json.RawMessage `json:"envelope"` // DSSE, bundle.ReceiptType
}

// Outcome carries a spoke's word on what came true, whole.
type Outcome struct {
	BundleDigest string          `json:"bundleDigest"`
	Envelope     json.RawMessage `json:"envelope"` // DSSE, bundle.OutcomeType
}

// Carried records what the hub itself has done for an order: an action without a cluster side.
type Carried struct {
	OrderDigest string `json:"orderDigest"`
	Change      string `json:"change"` // in words
}

// Observed records what came true of a prediction, where the hub itself is who sees it.
type Observed struct {
	OrderDigest string `json:"orderDigest"`
	Result      string `json:"result"` // bundle.CameTrue or bundle.DidNot
	Detail      string `json:"detail"`
}

// Expired records that a bundle was not started in time, as far as the hub has heard.
type Expired struct {
	BundleID     string `json:"bundleID"`
	BundleDigest string `json:"bundleDigest"`
	OrderDigest  string `json:"orderDigest"`
	Sequence     uint64 `json:"sequence"`
}
