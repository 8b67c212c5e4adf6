package heads_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/spoke/heads"
	"github.com/writ-dev/writ/spoke/journal"
)

func scene(t *testing.T) (*trusttest.Fixture, *heads.Watch, func(bundle.Head, ...bundle.Signer) []byte) {
	t.Helper()
	f := trusttest.New(t)
	log := slog.New(slog.DiscardHandler)
	memory, err := journal.Open(t.TempDir(), log)
	require.NoError(t, err)
	t.Cleanup(func() { _ = memory.Close() })
	require.NoError(t, memory.Init(journal.Head{Epoch: f.Epoch, Sequence: f.Sequence, Digest: f.Previous}))
	w := &heads.Watch{Audience: f.Audience, Root: f.Root, Journal: memory, Log: log, Now: func() time.Time { return f.Now }}
	return f, w, func(head bundle.Head, signers ...bundle.Signer) []byte {
		if head.Audience.Cluster == "" {
			head.Audience = f.Audience
		}
		if head.Epoch == 0 {
			head.Epoch = f.Epoch
		}
		if head.Sequence == 0 {
			head.Sequence, head.Digest = f.Sequence, f.Previous
		}
		head.At = f.Now
		raw, err := bundle.Seal(t.Context(), bundle.HeadType, head, signers...)
		require.NoError(t, err)
		return raw
	}
}

func frozen(generation uint64, freezes ...bundle.Freeze) *bundle.Freezes {
	return &bundle.Freezes{Generation: generation, Active: append([]bundle.Freeze{}, freezes...)}
}

// Only a newer head thaws: one that is replayed does not, and one that says nothing of freezes leaves them as they are.
func TestAnOldHeadDoesNotThaw(t *testing.T) {
	f, w, seal := scene(t)
	everything := bundle.Freeze{Name: "all", By: "sam", Reason: "fire"}
	open, shut := seal(bundle.Head{Freezes: frozen(1)}, f.Gateway), seal(bundle.Head{Freezes: frozen(2, everything)}, f.Gateway)
	require.NoError(t, w.Head(t.Context(), open))
	require.NoError(t, w.Head(t.Context(), shut))
	held := func() bundle.Freezes {
		got, err := w.Journal.Frozen()
		require.NoError(t, err)
		return got
	}
	require.Len(t, held().Active, 1)
	require.ErrorIs(t, w.Head(t.Context(), open), heads.ErrHead)
	require.ErrorIs(t, w.Head(t.Context(), seal(bundle.Head{Freezes: frozen(2)}, f.Gateway)), heads.ErrHead, "another list of one generation")
	require.NoError(t, w.Head(t.Context(), seal(bundle.Head{}, f.Gateway)))
	require.NoError(t, w.Head(t.Context(), shut), "the same again")
	require.Equal(t, *frozen(2, everything), held())
	require.NoError(t, w.Head(t.Context(), seal(bundle.Head{Freezes: frozen(3)}, f.Gateway)))
	require.Empty(t, held().Active)
}

// Each list is heard once, when it is in the journal; one that is not held is not heard.
func TestAListIsHeardOnce(t *testing.T) {
	f, w, seal := scene(t)
	var heard []uint64
	w.Heard = func(said bundle.Freezes) {
		held, err := w.Journal.Frozen()
		require.NoError(t, err)
		require.Equal(t, said, held)
		heard = append(heard, said.Generation)
	}
	for _, generation := range []uint64{1, 1, 2, 1, 2, 3} {
		_ = w.Head(t.Context(), seal(bundle.Head{Freezes: frozen(generation)}, f.Gateway))
	}
	require.Equal(t, []uint64{1, 2, 3}, heard)
}

// A list that the gateway did not sign, for this cluster and this epoch, is not held. One in a head whose queue looks wrong is.
func TestWhoseListIsHeld(t *testing.T) {
	for name, c := range map[string]struct {
		head   func(*trusttest.Fixture) bundle.Head
		signer func(*trusttest.Fixture) bundle.Signer
		change bool // of a byte
		held   bool
	}{
		"the gateway's": {held: true},
		"another key's": {signer: func(f *trusttest.Fixture) bundle.Signer { return f.Keys(1)[0] }},
		"an approver's": {signer: func(f *trusttest.Fixture) bundle.Signer { return f.Approvers[0] }},
		"tampered":      {change: true},
		"another cluster": {head: func(f *trusttest.Fixture) bundle.Head {
			a := f.Audience
			a.Cluster = "west"
			return bundle.Head{Audience: a}
		}},
		"another epoch": {head: func(f *trusttest.Fixture) bundle.Head { return bundle.Head{Epoch: 9} }},
		"a queue set back": {head: func(f *trusttest.Fixture) bundle.Head { return bundle.Head{Sequence: 1} },
			held: true},
	} {
		t.Run(name, func(t *testing.T) {
			f, w, seal := scene(t)
			head, signer := bundle.Head{}, bundle.Signer(f.Gateway)
			if c.head != nil {
				head = c.head(f)
			}
			if c.signer != nil {
				signer = c.signer(f)
			}
			head.Freezes = frozen(7, bundle.Freeze{Name: "all", By: "sam", Reason: "fire"})
			raw := seal(head, signer)
			if c.change {
				raw[len(`{"payloadType":"application/vnd.writ.head.v1+json","payload":"`)+40] ^= 1
			}
			err := w.Head(t.Context(), raw)
			got, readErr := w.Journal.Frozen()
			require.NoError(t, readErr)
			if c.held {
				require.EqualValues(t, 7, got.Generation)
				return
			}
			require.ErrorIs(t, err, heads.ErrHead)
			require.Zero(t, got)
		})
	}
}
