package journal_test

import (
	"log/slog"
	"testing"
	"time"

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

func entry(sequence uint64, previous string) journal.Entry {
	id := string(rune('a' + sequence))
	return journal.Entry{Epoch: 1, Sequence: sequence, BundleID: id, BundleDigest: "digest-" + id, Previous: previous,
		OrderID: "order-" + id, OrderEnds: time.Now().Add(time.Hour), Bundle: []byte("bundle-" + id)}
}

func TestAnEmptyJournalAcceptsNothing(t *testing.T) {
	j := open(t, t.TempDir())
	_, err := j.Head()
	require.ErrorIs(t, err, journal.ErrUninitialised)
	require.ErrorIs(t, j.Take(entry(1, "")), journal.ErrUninitialised)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	require.ErrorIs(t, j.Init(journal.Head{Epoch: 2}), journal.ErrInitialised)
}

func TestOnlyTheNextBundleIsTaken(t *testing.T) {
	j := begun(t)
	first := entry(1, "")
	require.NoError(t, j.Take(first))
	for name, e := range map[string]journal.Entry{
		"again": first, "a gap": entry(3, first.BundleDigest), "another chain": entry(2, "digest-x"),
		"another epoch": func() journal.Entry { e := entry(2, first.BundleDigest); e.Epoch = 2; return e }(),
	} {
		require.ErrorIs(t, j.Take(e), journal.ErrOutOfOrder, name)
	}
	head, err := j.Head()
	require.NoError(t, err)
	require.Equal(t, journal.Head{Epoch: 1, Sequence: 1, Digest: first.BundleDigest}, head)
}

func TestAnOrderIsUsedOnce(t *testing.T) {
	j := begun(t)
	first, second := entry(1, ""), entry(2, "digest-b")
	second.OrderID = first.OrderID
	require.NoError(t, j.Take(first))
	require.ErrorIs(t, j.Take(second), journal.ErrOrderUsed)
	head, _ := j.Head()
	require.EqualValues(t, 1, head.Sequence, "nothing moved")
	second.Refusal = refusal.New("claim", refusal.OrderUsed, "used")
	require.NoError(t, j.Take(second), "as a refusal it moves the sequence")
	require.NoError(t, j.Prune(time.Now(), time.Minute))
	require.ErrorIs(t, j.Take(func() journal.Entry { e := entry(3, "digest-c"); e.OrderID = first.OrderID; return e }()), journal.ErrOrderUsed)
	require.NoError(t, j.Prune(time.Now().Add(2*time.Hour), time.Minute))
}

func TestAClaimSucceedsOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	e := entry(1, "")
	require.NoError(t, j.Take(e))
	claimed, err := j.Claim(e.BundleID, time.Now())
	require.NoError(t, err)
	require.Equal(t, e.BundleID, claimed.Entry().BundleID)
	require.NoError(t, j.Close())

	j = open(t, dir)
	_, err = j.Claim(e.BundleID, time.Now())
	require.ErrorIs(t, err, journal.ErrClaimed, "also after a restart")
	_, err = j.Claim("nothing", time.Now())
	require.ErrorIs(t, err, journal.ErrUnknown)
	started, err := j.Started()
	require.NoError(t, err)
	require.Len(t, started, 1)
}

func TestALifeLeavesOnlyWhatIsUndelivered(t *testing.T) {
	j := begun(t)
	e := entry(1, "")
	require.NoError(t, j.Take(e))
	unclaimed, err := j.Unclaimed()
	require.NoError(t, err)
	require.Len(t, unclaimed, 1)
	_, err = j.Claim(e.BundleID, time.Now())
	require.NoError(t, err)
	require.NoError(t, j.Finish(e.BundleID, []byte("receipt"), &journal.Watch{BundleID: e.BundleID, Until: time.Now()}))
	require.NoError(t, j.Outcome(e.BundleID, []byte("outcome")))
	for _, list := range []func() ([]journal.Entry, error){j.Unclaimed, j.Started} {
		left, err := list()
		require.NoError(t, err)
		require.Empty(t, left)
	}
	watches, err := j.Watches()
	require.NoError(t, err)
	require.Empty(t, watches)
	receipts, err := j.Receipts()
	require.NoError(t, err)
	require.Equal(t, []journal.Signed{{BundleID: e.BundleID, Envelope: []byte("receipt")}}, receipts)
	require.NoError(t, j.ReceiptDelivered(e.BundleID))
	require.NoError(t, j.OutcomeDelivered(e.BundleID))
	receipts, err = j.Receipts()
	require.NoError(t, err)
	require.Empty(t, receipts)
}

// One durable commit of a claim: what the first side effect waits for.
func BenchmarkTakeAndClaim(b *testing.B) {
	j := begun(b)
	previous, n := "", uint64(0)
	for b.Loop() {
		n++
		e := entry(n, previous)
		e.BundleID, e.OrderID = e.BundleID+time.Now().String(), time.Now().String()
		if err := j.Take(e); err != nil {
			b.Fatal(err)
		}
		if _, err := j.Claim(e.BundleID, time.Now()); err != nil {
			b.Fatal(err)
		}
		previous = e.BundleDigest
	}
}
