// Package refusal holds the one way in which a part of Writ says no.
//
// A refusal is a result: the step that refused, a reason from a closed set, and one line for people that says what to do
// next. A fault (a lost connection, a full disk) is an error and never a Refusal: faults are tried again, refusals are not.
package refusal

import "fmt"

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
	// Hub: limit, judge, approve.
	QueueFull           Reason = "QueueFull"
	RateLimited         Reason = "RateLimited"
	TargetBusy          Reason = "TargetBusy"
	NoPolicy            Reason = "NoPolicy"
	PolicyDenied        Reason = "PolicyDenied"
	PolicyChanged       Reason = "PolicyChanged"
	Protected           Reason = "Protected"
	Denied              Reason = "Denied"
	ApprovalExpired     Reason = "ApprovalExpired"
	QuorumNotAvailable  Reason = "QuorumNotAvailable"
	BundleExpiredUnused Reason = "BundleExpiredUnused"
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
	// Spoke: execute.
	CredentialRefused Reason = "CredentialRefused"
	DryRunRefused     Reason = "DryRunRefused"
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

// New makes a refusal; detail is one line for people, formatted as by fmt.Sprintf.
func New(step string, reason Reason, detail string, args ...any) *Refusal {
	return &Refusal{Step: step, Reason: reason, Detail: fmt.Sprintf(detail, args...)}
}

// String is the one line that a person reads.
func (r *Refusal) String() string {
	return fmt.Sprintf("refused at %s (%s): %s", r.Step, r.Reason, r.Detail)
}
