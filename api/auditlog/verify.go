package auditlog

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Report is what a verification found.
type Report struct {
	Checkpoint *Checkpoint  `json:"checkpoint,omitempty"` // what the log's key has signed; nil where invalid
	Entries    uint64       `json:"entries"`              // checked; those beyond the checkpoint are not signed yet
	Types      map[Type]int `json:"types"`
	Checks     []Check      `json:"checks"`
	Findings   []Finding    `json:"findings"`
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// Check is one thing that was checked, for people.
type Check struct {
	Name     string `json:"name"`
	Detail   string `json:"detail"` // what was compared, with counts
	Findings int    `json:"findings"`
}

// Verify checks a whole log, offline: it reads the folder dir and nothing else, and may run beside the log's writer.
//
// since is a checkpoint of this log seen before, or nil; the log must continue it. now decides which orders have ended.
// An error means that the folder could not be read; everything else is a finding.
func Verify(ctx context.Context, dir string, verifier note.Verifier, since *Checkpoint, now time.Time) (Report, error) {
	if _, err := os.Stat(dir); err != nil {
		return Report{}, fmt.Errorf("the audit log: %w", err)
	}
	return verify(ctx, os.DirFS(dir), verifier, since, now)
}

func verify(ctx context.Context, folder fs.FS, verifier note.Verifier, since *Checkpoint, now time.Time) (Report, error) {
	s, err := look(folder, verifier)
	if err != nil {
		return Report{}, fmt.Errorf("the audit log: %w", err)
	}
	t, book := newTree(folder, s.files, s.size(), s.rootsWanted(since)...), newLedger()
	complete, err := t.rebuild(ctx, func(index uint64, raw []byte) { book.add(ctx, index, raw) })
	if err != nil {
		return Report{}, fmt.Errorf("the audit log: %w", err)
	}
	waiting := 0
	if complete {
		t.checkRoots(s)
		waiting = book.close(now)
	}
	history := t.checkHistory(s, since)
	s.unaccounted(ctx)
	r := Report{Checkpoint: s.checkpoint, Entries: t.sum.End(), Types: book.counts}
	r.Findings = append([]Finding{}, slices.Concat(s.findings, t.findings, book.findings)...)
	r.Checks = checks(r, s, t, book, waiting, history)
	return r, nil
}

// rootsWanted are the sizes at which the recomputed root is compared with a claim.
func (s *snapshot) rootsWanted(since *Checkpoint) []uint64 {
	sizes := []uint64{s.size()}
	if s.checkpoint != nil {
		sizes = append(sizes, s.checkpoint.Size)
	}
	if s.state != nil {
		sizes = append(sizes, s.state.Size)
	}
	if since != nil && since.Size <= s.size() {
		sizes = append(sizes, since.Size)
	}
	return sizes
}

// checkRoots compares what the entries give with what was signed and with what the writer goes on from.
func (t *tree) checkRoots(s *snapshot) {
	if c := s.checkpoint; c != nil && !bytes.Equal(t.roots[c.Size], c.Root) {
		t.found(TreeMismatch, CheckpointFile, "the first %d entries are not those that were signed", c.Size)
	}
	if st := s.state; st != nil && !bytes.Equal(t.roots[st.Size], st.Root) {
		t.found(TreeMismatch, TreeStateFile, "the first %d entries are not those that the writer integrated", st.Size)
	}
}

// checkHistory compares the log with a checkpoint of it seen before, and says what it did.
func (t *tree) checkHistory(s *snapshot, since *Checkpoint) string {
	switch {
	case since == nil:
		return "no earlier checkpoint to compare with"
	case s.checkpoint == nil:
		return "no checkpoint to compare with the earlier one"
	case since.Origin != s.checkpoint.Origin:
		t.found(HistoryChanged, CheckpointFile, "is of %s, the one seen before was of %s", s.checkpoint.Origin, since.Origin)
	case since.Size > s.checkpoint.Size:
		t.found(HistoryChanged, CheckpointFile, "signs %d entries, but %d had been signed before: entries were taken away", s.checkpoint.Size, since.Size)
	case t.sum.End() >= since.Size && !bytes.Equal(t.roots[since.Size], since.Root):
		t.found(HistoryChanged, CheckpointFile, "the first %d entries are not those that had been signed before: history was rewritten", since.Size)
	}
	return fmt.Sprintf("continues the checkpoint of %d entries seen before", since.Size)
}

// groups are the checks, and the reasons that belong to each.
var groups = []struct {
	name    string
	reasons []Reason
}{
	{"checkpoint", []Reason{CheckpointInvalid}},
	{"tree", []Reason{TreeMismatch, BundleMismatch, TileMismatch, FileMissing}},
	{"folder", []Reason{FileUnaccounted, StateInvalid}},
	{"history", []Reason{HistoryChanged}},
	{"entries", []Reason{EntryInvalid}},
	{"orders", []Reason{IntentUnanswered, AnswerWithoutIntent, AnswerMismatch, OutcomeUnexplained, OrderAppliedTwice}},
	{"receipts", []Reason{SignatureInvalid, ClusterNotEnrolled}},
	{"keys", []Reason{TrustRootUnexplained, AuthorityUnexplained}},
}

func checks(r Report, s *snapshot, t *tree, book *ledger, waiting int, history string) []Check {
	checkpoint := "not valid"
	if c := s.checkpoint; c != nil {
		checkpoint = fmt.Sprintf("%d entries signed by %s, root %x; %d more not signed yet", c.Size, c.Origin, c.Root[:8], s.size()-c.Size)
	}
	details := []string{
		checkpoint,
		fmt.Sprintf("%d entries are in the tree; %d tile and entry files compared, %d bytes", t.sum.End(), t.checked, t.bytes),
		fmt.Sprintf("%d files looked at: does a log of this size have them, and are the writer's own as it writes them", len(s.files)),
		history,
		fmt.Sprintf("%d decoded strictly", total(book.counts)),
		fmt.Sprintf("announced: %d; receipts: %d; still under way: %d", len(book.intents), book.counts[TypeReceipt], waiting),
		fmt.Sprintf("receipts and outcomes signed by an enrolled key: %d; clusters enrolled: %d", book.signed, len(book.keys)),
		fmt.Sprintf("published versions of the trust root: %d; steps of rotations of the CA: %d", book.counts[TypeTrustRoot], book.counts[TypeAuthority]),
	}
	list := make([]Check, 0, len(groups))
	for i, g := range groups {
		c := Check{Name: g.name, Detail: details[i]}
		for _, f := range r.Findings {
			if f.Reason.Check() == g.name {
				c.Findings++
			}
		}
		list = append(list, c)
	}
	return list
}

func total(counts map[Type]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Check is the name of the check that gives such findings.
func (r Reason) Check() string {
	for _, g := range groups {
		if slices.Contains(g.reasons, r) {
			return g.name
		}
	}
	return ""
}
