package auditlog_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
	"github.com/writ-dev/writ/api/bundle"
)

// reasons verifies a folder and returns the reasons of the findings.
func reasons(t *testing.T, w auditlogtest.Writer, folder fstest.MapFS, since *auditlog.Checkpoint) []auditlog.Reason {
	t.Helper()
	r, err := auditlog.VerifyFolder(t.Context(), folder, w.Verifier, since, auditlogtest.After)
	require.NoError(t, err)
	var found []auditlog.Reason
	for _, f := range r.Findings {
		require.NotEmpty(t, f.String())
		found = append(found, f.Reason)
	}
	return found
}

func TestVerifyAcceptsWhatWasWritten(t *testing.T) {
	w, spoke := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east")
	folder := w.Write(auditlogtest.Singly(spoke.Life())...)
	r, err := auditlog.VerifyFolder(t.Context(), folder, w.Verifier, nil, auditlogtest.After)
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	require.EqualValues(t, 10, r.Entries)
	require.EqualValues(t, 10, r.Checkpoint.Size)
	require.Equal(t, 3, r.Types[auditlog.TypeIntent])
	require.Len(t, r.Checks, 8)
	require.Empty(t, reasons(t, w, folder, r.Checkpoint), "a log continues itself")
}

func TestVerifyAcceptsManyTiles(t *testing.T) {
	w, spoke := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east")
	batches := [][]auditlog.Entry{{spoke.Enrolment()}, {}, {}, {}}
	for i := range 700 {
		batches[1+i%3] = append(batches[1+i%3], spoke.Refusal(fmt.Sprint("wild-", i), ""))
	}
	folder := w.Write(batches...)
	require.Contains(t, folder, "tile/1/000.p/2")
	require.Empty(t, reasons(t, w, folder, nil))
	for name, file := range folder { // a sample of the large, for the sake of time
		for at := 0; at < len(file.Data); at += max(1, len(file.Data)/7) {
			flipped := bytes.Clone(file.Data)
			flipped[at] ^= 0x10
			require.NotEmpty(t, reasons(t, w, auditlogtest.With(folder, name, flipped), nil), "%s, byte %d", name, at)
		}
	}
}

// TestEveryFlippedByteIsFound flips every byte of every file of a log, one at a time.
func TestEveryFlippedByteIsFound(t *testing.T) {
	w, spoke := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east")
	folder := w.Write(auditlogtest.Singly(spoke.Life())...)
	require.Empty(t, reasons(t, w, folder, nil))
	step := 1
	if testing.Short() {
		step = 17
	}
	flips, work := 0, make(chan func())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for f := range work {
				f()
			}
		})
	}
	for name, file := range folder {
		everyBit := !strings.HasPrefix(name, "tile/") // the checkpoint and the state
		for at := 0; at < len(file.Data); at += step {
			for bit := range 8 {
				if !everyBit && bit != at%8 {
					continue
				}
				flips++
				work <- func() {
					flipped := bytes.Clone(file.Data)
					flipped[at] ^= 1 << bit
					r, err := auditlog.VerifyFolder(t.Context(), auditlogtest.With(folder, name, flipped), w.Verifier, nil, auditlogtest.After)
					if err != nil || r.OK() {
						t.Errorf("%s, byte %d, bit %d: not found (%v)", name, at, bit, err)
					}
				}
			}
		}
	}
	close(work)
	workers.Wait()
	t.Logf("%d flips in %d files", flips, len(folder))
	require.Greater(t, flips*step, 20_000)
}

func TestVerifyAccountsForEveryFile(t *testing.T) {
	w, spoke := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east")
	folder := w.Write(auditlogtest.Singly(spoke.Life())...)
	for name, file := range folder {
		grown := append(bytes.Clone(file.Data), 'x')
		require.NotEmpty(t, reasons(t, w, auditlogtest.With(folder, name, grown), nil), "%s grown", name)
		if len(file.Data) > 0 {
			require.NotEmpty(t, reasons(t, w, auditlogtest.With(folder, name, file.Data[:len(file.Data)-1]), nil), "%s cut", name)
		}
	}
	for _, name := range []string{
		"checkpoint", ".state/treeState", ".state/version", "tile/entries/000.p/10", "tile/0/000.p/10",
	} {
		require.NotEmpty(t, reasons(t, w, auditlogtest.With(folder, name, nil), nil), "%s removed", name)
	}
	for _, name := range []string{
		"notes.txt", "tile/0/000", "tile/entries/000", "tile/0/000.p/11", "tile/entries/001.p/1", "tile/1/000.p/1", "tile/0/000.p/010",
		"tile/00/000.p/1", "tile/0/x000/000", "checkpoint1234", ".state/treeState99", ".state/gcState", "tile/0/000.p/512345", "tile/9/000",
	} {
		require.Equal(t, []auditlog.Reason{auditlog.FileUnaccounted},
			reasons(t, w, auditlogtest.With(folder, name, []byte("x")), nil), "%s added", name)
	}
}

func TestVerifyHoldsTheLogToItsHistory(t *testing.T) {
	w, spoke := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east")
	life := spoke.Life()
	whole, short := w.Write(life), w.Write(life[:8])
	other := slices.Clone(life)
	other[7] = spoke.Refusal("tame", "")
	rewritten := w.Write(other)
	seen := func(folder fstest.MapFS) *auditlog.Checkpoint {
		c, err := auditlog.ParseCheckpoint(folder["checkpoint"].Data, w.Verifier)
		require.NoError(t, err)
		return &c
	}
	require.Empty(t, reasons(t, w, whole, seen(short)))
	require.Equal(t, []auditlog.Reason{auditlog.HistoryChanged}, reasons(t, w, short, seen(whole)), "entries taken away")
	require.Equal(t, []auditlog.Reason{auditlog.HistoryChanged}, reasons(t, w, rewritten, seen(short)), "an entry replaced")
	require.Contains(t, reasons(t, auditlogtest.NewWriter(t), whole, nil), auditlog.CheckpointInvalid, "another key")
}

func TestVerifyReadsWhatTheEntriesSay(t *testing.T) {
	w, east, west := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east"), auditlogtest.NewSpoke(t, "west")
	renewed, notifies := auditlogtest.NewSpoke(t, "east"), east.Intent("tell")
	notifies.Intent.Action = "notify"
	forged := auditlogtest.NewSpoke(t, "east").Receipt("heal", "b1", bundle.Applied)
	for name, c := range map[string]struct {
		entries []auditlog.Entry
		want    []auditlog.Reason
	}{
		"gap": {[]auditlog.Entry{east.Intent("heal")}, []auditlog.Reason{auditlog.IntentUnanswered}},
		"two gaps": {[]auditlog.Entry{east.Intent("heal"), east.Intent("more")},
			[]auditlog.Reason{auditlog.IntentUnanswered, auditlog.IntentUnanswered}},
		"the same intent and receipt twice": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), east.Intent("heal"),
			east.Receipt("heal", "b1", bundle.Applied), east.Receipt("heal", "b1", bundle.Applied)}, nil},
		"receipt without intent": {[]auditlog.Entry{east.Enrolment(), east.Receipt("heal", "b1", bundle.Refused)},
			[]auditlog.Reason{auditlog.AnswerWithoutIntent}},
		"receipt before intent": {[]auditlog.Entry{east.Enrolment(), east.Receipt("heal", "b1", bundle.Failed), east.Intent("heal")},
			[]auditlog.Reason{auditlog.AnswerWithoutIntent, auditlog.IntentUnanswered}},
		"expiry without intent": {[]auditlog.Entry{east.Expired("heal", "b1")}, []auditlog.Reason{auditlog.AnswerWithoutIntent}},
		"another cluster's receipt": {[]auditlog.Entry{west.Enrolment(), east.Intent("heal"), west.Receipt("heal", "b1", bundle.Applied)},
			[]auditlog.Reason{auditlog.AnswerMismatch, auditlog.IntentUnanswered}},
		"not enrolled": {[]auditlog.Entry{east.Intent("heal"), east.Receipt("heal", "b1", bundle.Applied)},
			[]auditlog.Reason{auditlog.ClusterNotEnrolled}},
		"forged receipt": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), forged}, []auditlog.Reason{auditlog.SignatureInvalid}},
		"key renewed under way": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), renewed.Enrolment(),
			east.Receipt("heal", "b1", bundle.Applied), renewed.Outcome("heal", "b1")}, nil},
		"old key after the new": {[]auditlog.Entry{east.Enrolment(), renewed.Enrolment(), east.Intent("heal"),
			east.Receipt("heal", "b1", bundle.Applied)}, []auditlog.Reason{auditlog.SignatureInvalid}},
		"outcome without receipt": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), east.Expired("heal", "b1"), east.Outcome("heal", "b1")},
			[]auditlog.Reason{auditlog.OutcomeUnexplained}},
		"applied twice": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), east.Receipt("heal", "b1", bundle.Applied),
			east.Receipt("heal", "b2", bundle.Applied)}, []auditlog.Reason{auditlog.OrderAppliedTwice}},
		"what the hub does itself": {[]auditlog.Entry{notifies, east.Carried("tell")}, nil},
		"the hub in a spoke's place": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), east.Carried("heal")},
			[]auditlog.Reason{auditlog.AnswerMismatch, auditlog.IntentUnanswered}},
		"late after expiry": {[]auditlog.Entry{east.Enrolment(), east.Intent("heal"), east.Expired("heal", "b1"),
			east.Receipt("heal", "b1", bundle.Refused)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, reasons(t, w, w.Write(c.entries), nil))
		})
	}
	under := w.Write([]auditlog.Entry{east.Intent("heal")})
	r, err := auditlog.VerifyFolder(t.Context(), under, w.Verifier, nil, auditlogtest.Noon)
	require.NoError(t, err)
	require.True(t, r.OK(), "an order under way is no gap: %v", r.Findings)
}

func TestStory(t *testing.T) {
	w, spoke := auditlogtest.NewWriter(t), auditlogtest.NewSpoke(t, "east")
	folder := w.Write(spoke.Life())
	for _, request := range []string{"heal", "team/heal", "uid-heal"} {
		told, err := auditlog.StoryIn(t.Context(), folder, w.Verifier, request)
		require.NoError(t, err)
		var types []auditlog.Type
		for _, e := range told {
			types = append(types, e.Entry.Type)
			require.True(t, e.Signed)
		}
		require.Equal(t, []auditlog.Type{auditlog.TypeApproval, auditlog.TypeIntent, auditlog.TypeReceipt, auditlog.TypeOutcome}, types)
		require.EqualValues(t, 1, told[0].Index)
	}
	none, err := auditlog.StoryIn(t.Context(), folder, w.Verifier, "other/heal")
	require.NoError(t, err)
	require.Empty(t, none)

	file := "tile/entries/000.p/10"
	flipped := bytes.Clone(folder[file].Data)
	flipped[40] ^= 1
	_, err = auditlog.StoryIn(t.Context(), auditlogtest.With(folder, file, flipped), w.Verifier, "heal")
	require.ErrorContains(t, err, "cannot be trusted")
}
