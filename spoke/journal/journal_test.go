package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/spoke/journal"
)

func open(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func begun(t testing.TB) *journal.Journal {
	j := open(t, t.TempDir())
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	return j
}

func name(sequence uint64) string { return fmt.Sprintf("%06d", sequence) }

func digest(sequence uint64) string {
	if sequence == 0 {
		return ""
	}
	return "digest-" + name(sequence)
}

func entry(sequence uint64) journal.Entry {
	id := name(sequence)
	return journal.Entry{Epoch: 1, Sequence: sequence, BundleID: id, BundleDigest: digest(sequence), Previous: digest(sequence - 1),
		OrderID: "order-" + id, OrderEnds: noon.Add(time.Hour), Bundle: []byte("bundle-" + id)}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// content is all that a journal tells.
func content(t testing.TB, j *journal.Journal) map[string]any {
	t.Helper()
	all := map[string]any{}
	note := func(what string, value any, err error) {
		if errors.Is(err, journal.ErrUninitialised) {
			value, err = "uninitialised", nil
		}
		require.NoError(t, err)
		all[what] = value
	}
	head, err := j.Head()
	note("head", head, err)
	unclaimed, err := j.Unclaimed()
	note("unclaimed", unclaimed, err)
	started, err := j.Started()
	note("started", started, err)
	watches, err := j.Watches()
	note("watches", watches, err)
	receipts, err := j.Receipts()
	note("receipts", receipts, err)
	outcomes, err := j.Outcomes()
	note("outcomes", outcomes, err)
	frozen, err := j.Frozen()
	note("frozen", frozen, err)
	return all
}

// refused asserts that an error is returned and nothing written.
func refused(t testing.TB, j *journal.Journal, want error, do func() error) {
	t.Helper()
	before := content(t, j)
	require.ErrorIs(t, do(), want)
	require.Equal(t, before, content(t, j))
}

func TestAnEmptyJournalAcceptsNothing(t *testing.T) {
	j := open(t, t.TempDir())
	_, err := j.Head()
	require.ErrorIs(t, err, journal.ErrUninitialised)
	refused(t, j, journal.ErrUninitialised, func() error { return j.Take(entry(1)) })
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	refused(t, j, journal.ErrInitialised, func() error { return j.Init(journal.Head{Epoch: 2}) })
}

func TestAJournalBeginsWhereItsEnrolmentSays(t *testing.T) {
	j := open(t, t.TempDir())
	require.NoError(t, j.Init(journal.Head{Epoch: 1, Sequence: 41, Digest: digest(41)}))
	refused(t, j, journal.ErrOutOfOrder, func() error { return j.Take(entry(1)) })
	require.NoError(t, j.Take(entry(42)))
}

func TestOnlyTheNextBundleIsTaken(t *testing.T) {
	j := begun(t)
	require.NoError(t, j.Take(entry(1)))
	for name, change := range map[string]func(*journal.Entry){
		"again":         func(e *journal.Entry) { *e = entry(1) },
		"a gap":         func(e *journal.Entry) { e.Sequence, e.Previous = 3, digest(1) },
		"another chain": func(e *journal.Entry) { e.Previous = "digest-x" },
		"no chain":      func(e *journal.Entry) { e.Previous = "" },
		"another epoch": func(e *journal.Entry) { e.Epoch = 2 },
		"a known ID":    func(e *journal.Entry) { e.BundleID = entry(1).BundleID },
	} {
		t.Run(name, func(t *testing.T) {
			e := entry(2)
			change(&e)
			refused(t, j, journal.ErrOutOfOrder, func() error { return j.Take(e) })
		})
	}
	require.NoError(t, j.Take(entry(2)))
	head, err := j.Head()
	require.NoError(t, err)
	require.Equal(t, journal.Head{Epoch: 1, Sequence: 2, Digest: digest(2)}, head)
}

func TestAnOrderIsUsedOnce(t *testing.T) {
	j := begun(t)
	reuse := func(sequence uint64) journal.Entry {
		e := entry(sequence)
		e.OrderID = entry(1).OrderID
		return e
	}
	require.NoError(t, j.Take(entry(1)))
	refused(t, j, journal.ErrOrderUsed, func() error { return j.Take(reuse(2)) })
	second := reuse(2)
	second.Refusal = refusal.New("claim", refusal.OrderUsed, "used")
	require.NoError(t, j.Take(second), "as a refusal it moves the sequence")
	refused(t, j, journal.ErrRefused, func() error { _, err := j.Claim(second.BundleID, noon); return err })

	ends, skew := entry(1).OrderEnds, time.Minute
	require.NoError(t, j.Prune(ends.Add(skew), skew))
	refused(t, j, journal.ErrOrderUsed, func() error { return j.Take(reuse(3)) })
	require.NoError(t, j.Prune(ends.Add(skew+1), skew))
	require.NoError(t, j.Take(reuse(3)), "by now it is expired, which others judge")
}

func TestARefusedBundleUsesNoOrder(t *testing.T) {
	j := begun(t)
	first, second := entry(1), entry(2)
	first.Refusal, second.OrderID = refusal.New("judge", refusal.BundleExpired, "late"), first.OrderID
	require.NoError(t, j.Take(first))
	require.NoError(t, j.Take(second))
	require.NoError(t, j.Finish(first.BundleID, []byte("receipt"), nil))
}

func TestAClaimSucceedsOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	e := entry(1)
	require.NoError(t, j.Take(e))
	claimed, err := j.Claim(e.BundleID, noon)
	require.NoError(t, err)
	require.Equal(t, e, claimed.Entry())
	require.NoError(t, j.Close())

	j = open(t, dir)
	refused(t, j, journal.ErrClaimed, func() error { _, err := j.Claim(e.BundleID, noon); return err })
	refused(t, j, journal.ErrUnknown, func() error { _, err := j.Claim("nothing", noon); return err })
	started, err := j.Started()
	require.NoError(t, err)
	require.Equal(t, []journal.Entry{e}, started)
}

func TestOfManyClaimsOneSucceeds(t *testing.T) {
	j := begun(t)
	for n := range uint64(10) {
		require.NoError(t, j.Take(entry(n+1)))
		var won atomic.Int32
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() {
				claimed, err := j.Claim(name(n+1), noon)
				if err == nil {
					won.Add(1)
					assert.Equal(t, n+1, claimed.Entry().Sequence)
					return
				}
				assert.ErrorIs(t, err, journal.ErrClaimed)
			})
		}
		wait.Wait()
		require.EqualValues(t, 1, won.Load())
	}
}

func TestALifeLeavesOnlyWhatIsUndelivered(t *testing.T) {
	j := begun(t)
	empty := content(t, j)
	e := entry(1)
	require.NoError(t, j.Take(e))
	unclaimed, err := j.Unclaimed()
	require.NoError(t, err)
	require.Equal(t, []journal.Entry{e}, unclaimed)
	refused(t, j, journal.ErrUnknown, func() error { return j.Outcome(e.BundleID, nil) })
	refused(t, j, journal.ErrUnknown, func() error { return j.Keep(e.BundleID, []byte("artefact")) })
	_, err = j.Claim(e.BundleID, noon)
	require.NoError(t, err)
	watch := journal.Watch{BundleID: e.BundleID, Bundle: e.Bundle, Until: noon}
	require.NoError(t, j.Keep(e.BundleID, []byte("before")))
	require.NoError(t, j.Keep(e.BundleID, []byte("artefact")))
	require.NoError(t, j.Finish(e.BundleID, []byte("receipt"), &watch))
	refused(t, j, journal.ErrUnknown, func() error { return j.Keep(e.BundleID, []byte("other")) })
	refused(t, j, journal.ErrUnknown, func() error { return j.Finish(e.BundleID, []byte("other"), nil) })
	watches, err := j.Watches()
	require.NoError(t, err)
	require.Equal(t, []journal.Watch{watch}, watches)
	require.NoError(t, j.Outcome(e.BundleID, []byte("outcome")))
	refused(t, j, journal.ErrUnknown, func() error { return j.Outcome(e.BundleID, []byte("other")) })

	receipts, outcomes, err := j.Undelivered()
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 1}, [2]int{receipts, outcomes})
	left := content(t, j)
	require.Equal(t, []journal.Signed{{BundleID: e.BundleID, Envelope: []byte("receipt"), Artefact: []byte("artefact")}}, left["receipts"])
	require.Equal(t, []journal.Signed{{BundleID: e.BundleID, Envelope: []byte("outcome")}}, left["outcomes"])
	for range 2 {
		require.NoError(t, j.ReceiptDelivered(e.BundleID))
		require.NoError(t, j.OutcomeDelivered(e.BundleID))
	}
	empty["head"] = journal.Head{Epoch: 1, Sequence: 1, Digest: digest(1)}
	require.Equal(t, empty, content(t, j))
}

// Lists are in the order of the sequence, whatever the IDs.
func TestTheOldestComesFirst(t *testing.T) {
	j := begun(t)
	var ids []string
	for n := range uint64(9) {
		e := entry(n + 1)
		e.BundleID = name(100 - n)
		ids = append(ids, e.BundleID)
		require.NoError(t, j.Take(e))
	}
	for _, id := range []int{3, 1, 8, 0, 2, 7, 5, 4, 6} {
		require.NoError(t, j.Finish(ids[id], nil, nil))
	}
	receipts, err := j.Receipts()
	require.NoError(t, err)
	for n, receipt := range receipts {
		require.Equal(t, ids[n], receipt.BundleID)
	}
}

func TestTheLargestEnvelopes(t *testing.T) {
	j := begun(t)
	large := bytes.Repeat([]byte("x"), journal.MaxEnvelope)
	tooLarge := bytes.Repeat([]byte("x"), journal.MaxEnvelope+1)
	e := entry(1)
	e.Bundle = tooLarge
	refused(t, j, journal.ErrTooLarge, func() error { return j.Take(e) })
	e.Bundle = large
	require.NoError(t, j.Take(e))
	refused(t, j, journal.ErrTooLarge, func() error { return j.Finish(e.BundleID, tooLarge, nil) })
	require.NoError(t, j.Finish(e.BundleID, large, &journal.Watch{BundleID: e.BundleID, Bundle: large, Until: noon}))
	refused(t, j, journal.ErrTooLarge, func() error { return j.Outcome(e.BundleID, tooLarge) })
	require.NoError(t, j.Outcome(e.BundleID, large))
}

func TestAClosedJournal(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	_, err := journal.Open(dir, slog.New(slog.DiscardHandler))
	require.EqualError(t, err, "journal "+dir+": another process is using it")
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	_, err = j.Head()
	require.ErrorIs(t, err, journal.ErrClosed)
	require.ErrorIs(t, j.Init(journal.Head{}), journal.ErrClosed)
}

// BenchmarkClaim is one durable claim: what the first side effect waits for.
func BenchmarkClaim(b *testing.B) {
	j := begun(b)
	for n := uint64(1); b.Loop(); n++ {
		b.StopTimer()
		e := entry(n)
		e.Bundle = make([]byte, 4<<10)
		require.NoError(b, j.Take(e))
		b.StartTimer()
		if _, err := j.Claim(e.BundleID, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLife is all that an action writes: taken, claimed, finished, observed, and both words delivered.
func BenchmarkLife(b *testing.B) {
	j := begun(b)
	for n := uint64(1); b.Loop(); n++ {
		e := entry(n)
		e.Bundle = make([]byte, 4<<10)
		err := j.Take(e)
		_, claim := j.Claim(e.BundleID, noon)
		err = errors.Join(err, claim,
			j.Finish(e.BundleID, make([]byte, 1<<10), &journal.Watch{BundleID: e.BundleID, Bundle: e.Bundle, Until: noon}),
			j.Outcome(e.BundleID, make([]byte, 1<<10)), j.ReceiptDelivered(e.BundleID), j.OutcomeDelivered(e.BundleID))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A reset begins a higher epoch, and forgets nothing else.
func TestAHigherEpochBeginsAnew(t *testing.T) {
	j := begun(t)
	first := entry(1)
	require.NoError(t, j.Take(first))
	_, err := j.Claim(first.BundleID, noon)
	require.NoError(t, err)
	require.NoError(t, j.Finish(first.BundleID, []byte("receipt"), nil))
	for _, epoch := range []uint64{0, 1} {
		refused(t, j, journal.ErrOutOfOrder, func() error { return j.Reset(epoch) })
	}
	require.NoError(t, j.Reset(5))
	refused(t, j, journal.ErrOutOfOrder, func() error { return j.Reset(5) })
	head, err := j.Head()
	require.NoError(t, err)
	require.Equal(t, journal.Head{Epoch: 5}, head)
	next := entry(1)
	next.Epoch, next.BundleID = 5, "b-of-5"
	refused(t, j, journal.ErrOrderUsed, func() error { return j.Take(next) })
	receipts, err := j.Receipts()
	require.NoError(t, err)
	require.Len(t, receipts, 1)
	next.OrderID = "o-of-5"
	require.NoError(t, j.Take(next))
}
