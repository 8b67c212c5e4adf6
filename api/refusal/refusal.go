// Package refusal holds the one way in which a part of Writ says no.
//
// A refusal is a result: the step that refused, a reason from a closed set, and one line for people that says what to do
// next. A fault (a lost connection, a full disk) is an error and never a Refusal: faults are tried again, refusals are not.
package refusal

import (
	"fmt"
	"strings"
)

// Reason is one word from the closed set below; programs may switch on it.
type Reason string

// The reasons, in the order of an action's life.
const (
	// Hub: validate.
	ActionUnknown        Reason = "ActionUnknown"
	ParametersInvalid    Reason = "ParametersInvalid"
	TargetKindNotAllowed Reason = "TargetKindNotAllowed"
	ClusterUnknown       Reason = "ClusterUnknown"
	TargetNotFound       Reason = "TargetNotFound"
	TargetChanged        Reason = "TargetChanged"
	NothingToDo          Reason = "NothingToDo"
	RequestExpired       Reason = "RequestExpired"
	HubRestored          Reason = "HubRestored"
	SpokeTooOld          Reason = "SpokeTooOld"
	TemplateChanged      Reason = "TemplateChanged"
	// Hub: limit, judge, approve.
	QueueFull           Reason = "QueueFull"
	RateLimited         Reason = "RateLimited"
	ConcurrencyLimited  Reason = "ConcurrencyLimited"
	BlastRadius         Reason = "BlastRadius"
	TriedInVain         Reason = "TriedInVain"
	Reverted            Reason = "Reverted"
	TargetBusy          Reason = "TargetBusy"
	NoPolicy            Reason = "NoPolicy"
	PolicyDenied        Reason = "PolicyDenied"
	PolicyChanged       Reason = "PolicyChanged"
	Protected           Reason = "Protected"
	Denied              Reason = "Denied"
	ApprovalExpired     Reason = "ApprovalExpired"
	QuorumNotAvailable  Reason = "QuorumNotAvailable"
	Frozen              Reason = "Frozen" // also the spoke's, at claim
	BundleExpiredUnused Reason = "BundleExpiredUnused"
	EpochEnded          Reason = "EpochEnded"
	Withdrawn           Reason = "Withdrawn"
	SteadNotBelieved    Reason = "SteadNotBelieved"
	RevisionUnknown     Reason = "RevisionUnknown"
	// Hub: rehearse; the spoke's own reasons come through.
	RehearsalRefused     Reason = "RehearsalRefused"
	RehearsalUnavailable Reason = "RehearsalUnavailable"
	// Spoke: decode and authenticate. The sequence does not move.
	TooLarge            Reason = "TooLarge"
	TooManySignatures   Reason = "TooManySignatures"
	Malformed           Reason = "Malformed"
	PayloadTypeUnknown  Reason = "PayloadTypeUnknown"
	FormatTooOld        Reason = "FormatTooOld"
	SignatureInvalid    Reason = "SignatureInvalid"
	AudienceMismatch    Reason = "AudienceMismatch"
	EpochMismatch       Reason = "EpochMismatch"
	SequenceReplayed    Reason = "SequenceReplayed"
	SequenceOutOfOrder  Reason = "SequenceOutOfOrder"
	PreviousDigestWrong Reason = "PreviousDigestWrong"
	// Spoke: judge. The sequence moves; the receipt says why nothing was done.
	TrustRootExpired   Reason = "TrustRootExpired"
	KeyRetired         Reason = "KeyRetired"
	BundleExpired      Reason = "BundleExpired"
	BundleNotYetValid  Reason = "BundleNotYetValid"
	BundleLivesTooLong Reason = "BundleLivesTooLong"
	OrderExpired       Reason = "OrderExpired"
	OrderNotYetValid   Reason = "OrderNotYetValid"
	OrderLivesTooLong  Reason = "OrderLivesTooLong"
	OrderUsed          Reason = "OrderUsed"
	OrderInvalid       Reason = "OrderInvalid"
	RulesMismatch      Reason = "RulesMismatch"
	TierTooLow         Reason = "TierTooLow"
	ApprovalsMissing   Reason = "ApprovalsMissing"
	LocalPolicyDenied  Reason = "LocalPolicyDenied"
	RehearsalMissing   Reason = "RehearsalMissing"
	// Spoke: execute.
	CredentialRefused Reason = "CredentialRefused"
	DryRunRefused     Reason = "DryRunRefused"
	RealityMoved      Reason = "RealityMoved"
	ApplyRefused      Reason = "ApplyRefused"
	DeadlineExceeded  Reason = "DeadlineExceeded"
	Interrupted       Reason = "Interrupted"
)

// Refusal says what was refused, by which step, why, and what to do next.
type Refusal struct {
	Step   string `json:"step"`
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
}

// New makes a refusal; detail is for people, formatted as by fmt.Sprintf, and kept as OneLine has it.
func New(step string, reason Reason, detail string, args ...any) *Refusal {
	return &Refusal{Step: step, Reason: reason, Detail: OneLine(fmt.Sprintf(detail, args...))}
}

// maxLine bounds what is told of anything, in bytes.
const maxLine = 1 << 10

// OneLine makes one line of at most a kilobyte out of what somebody else said, such as an API server.
func OneLine(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if len(said) <= maxLine {
		return said
	}
	return strings.ToValidUTF8(said[:maxLine], "") + "…"
}

// String is the one line that a person reads.
func (r *Refusal) String() string {
	return fmt.Sprintf("refused at %s (%s): %s", r.Step, r.Reason, r.Detail)
}
