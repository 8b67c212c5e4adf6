package enrol

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reason says why a spoke was not let in.
type Reason string

// The reasons. The set is closed.
const (
	TokenWrong      Reason = "TokenWrong"
	TokenUsed       Reason = "TokenUsed"
	TokenExpired    Reason = "TokenExpired"
	ClusterUnknown  Reason = "ClusterUnknown" // in the hub's log only: a caller hears TokenWrong
	ClusterRevoked  Reason = "ClusterRevoked"
	ClusterUIDInUse Reason = "ClusterUIDInUse"
	KeyUnacceptable Reason = "KeyUnacceptable"
	// NotPinned: the registration does not say whose ServiceAccount tokens count.
	NotPinned          Reason = "NotPinned"
	AccountTokenWrong  Reason = "AccountTokenWrong"
	ClusterUIDMismatch Reason = "ClusterUIDMismatch"
	// AcceptancePending is no end: the spoke asks again, and is let in once somebody has accepted it.
	AcceptancePending Reason = "AcceptancePending"
	VersionSkew       Reason = "VersionSkew"
	ProofWrong        Reason = "ProofWrong"
	TooManyAttempts   Reason = "TooManyAttempts"
)

var codeOf = map[Reason]codes.Code{
	TokenWrong: codes.Unauthenticated, ClusterUnknown: codes.Unauthenticated, ProofWrong: codes.Unauthenticated,
	TokenUsed: codes.FailedPrecondition, ClusterRevoked: codes.PermissionDenied, TokenExpired: codes.FailedPrecondition, VersionSkew: codes.FailedPrecondition,
	NotPinned: codes.FailedPrecondition, AccountTokenWrong: codes.Unauthenticated, ClusterUIDMismatch: codes.PermissionDenied, AcceptancePending: codes.Unavailable,
	ClusterUIDInUse: codes.AlreadyExists, KeyUnacceptable: codes.InvalidArgument, TooManyAttempts: codes.ResourceExhausted,
}

// refusal is a result: nothing was written.
type refusal struct {
	reason Reason
	detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.reason, r.detail) }

func refuse(reason Reason, detail string, args ...any) *refusal {
	return &refusal{reason: reason, detail: fmt.Sprintf(detail, args...)}
}

// GRPCStatus is what the caller hears. A wrong token and an unknown cluster sound the same.
func (r *refusal) GRPCStatus() *status.Status {
	if r.reason == TokenWrong || r.reason == ClusterUnknown {
		return status.New(codes.Unauthenticated, "TokenWrong: cluster and token do not belong together: check the join file, or register the cluster again")
	}
	return status.New(codeOf[r.reason], r.Error())
}
