package auditlog

import (
	"errors"
	"fmt"
	"io/fs"
)

// Reason says what kind of finding it is; programs may switch on it. The set is closed.
type Reason string

// The reasons. The first group is about the folder, the second about what the entries say.
const (
	CheckpointInvalid Reason = "CheckpointInvalid" // missing, not signed by the key, or not as signed
	StateInvalid      Reason = "StateInvalid"      // the writer's own files are not as it writes them
	TreeMismatch      Reason = "TreeMismatch"      // the entries do not give the root that the checkpoint or the state has
	HistoryChanged    Reason = "HistoryChanged"    // the log does not continue the checkpoint seen before
	BundleMismatch    Reason = "BundleMismatch"    // an entry bundle is damaged, or differs from a fuller one
	TileMismatch      Reason = "TileMismatch"      // a tile does not hold the hashes of the entries
	FileMissing       Reason = "FileMissing"
	FileUnaccounted   Reason = "FileUnaccounted" // a file that no log of this size has

	EntryInvalid        Reason = "EntryInvalid"        // does not decode
	IntentUnanswered    Reason = "IntentUnanswered"    // a gap: the order has ended, and nobody said what became of it
	AnswerWithoutIntent Reason = "AnswerWithoutIntent" // a receipt or an expiry without the intent before it
	AnswerMismatch      Reason = "AnswerMismatch"      // answers another cluster's or request's intent
	OutcomeUnexplained  Reason = "OutcomeUnexplained"  // an outcome without the receipt of the same bundle before it
	OrderAppliedTwice   Reason = "OrderAppliedTwice"   // two bundles of one order were applied
	SignatureInvalid    Reason = "SignatureInvalid"    // not by the receipt key that the cluster enrolled
	ClusterNotEnrolled  Reason = "ClusterNotEnrolled"  // no enrolment of the cluster before the entry

	TrustRootUnexplained Reason = "TrustRootUnexplained" // a version that does not follow the one before
	AuthorityUnexplained Reason = "AuthorityUnexplained" // a step of the CA's rotation that does not follow the one before
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Reason Reason  `json:"reason"`
	File   string  `json:"file,omitempty"`  // relative to the folder
	Entry  *uint64 `json:"entry,omitempty"` // index of the entry
	Detail string  `json:"detail"`          // one line for people
}

// String is the one line that a person reads.
func (f Finding) String() string {
	switch {
	case f.Entry != nil:
		return fmt.Sprintf("entry %d: %s (%s)", *f.Entry, f.Detail, f.Reason)
	case f.File != "":
		return fmt.Sprintf("%s: %s (%s)", f.File, f.Detail, f.Reason)
	}
	return fmt.Sprintf("%s (%s)", f.Detail, f.Reason)
}

func aboutFile(reason Reason, file, detail string, args ...any) Finding {
	return Finding{Reason: reason, File: file, Detail: fmt.Sprintf(detail, args...)}
}

func aboutEntry(reason Reason, index uint64, detail string, args ...any) Finding {
	return Finding{Reason: reason, Entry: &index, Detail: fmt.Sprintf(detail, args...)}
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
