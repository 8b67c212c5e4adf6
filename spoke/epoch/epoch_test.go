package epoch_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/spoke/epoch"
	"github.com/writ-dev/writ/spoke/journal"
)

// Only the root keys begin a new epoch, for this cluster, forwards.
func TestReset(t *testing.T) {
	f := trusttest.New(t)
	memory, err := journal.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = memory.Close() })
	before := journal.Head{Epoch: 2, Sequence: 9, Digest: "sha256:x"}
	require.NoError(t, memory.Init(before))
	keeper := epoch.Keeper{Audience: f.Audience, Root: f.Root, Journal: memory, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.Now }}
	var root []bundle.Signer
	for _, key := range f.RootKeys[1:] {
		root = append(root, key)
	}
	good := bundle.EpochReset{Format: bundle.Format, TrustDomain: f.Audience.TrustDomain, Cluster: f.Audience.Cluster, Epoch: 3, At: f.Now}
	seal := func(change func(*bundle.EpochReset), signers ...bundle.Signer) []byte {
		reset := good
		change(&reset)
		raw, err := bundle.Seal(context.Background(), bundle.ResetType, reset, signers...)
		require.NoError(t, err)
		return raw
	}
	same := func(*bundle.EpochReset) {}
	for name, raw := range map[string][]byte{
		"by the gateway":      seal(same, f.Gateway),
		"by nobody":           seal(same),
		"for another cluster": seal(func(r *bundle.EpochReset) { r.Cluster = "other" }, root...),
		"for another domain":  seal(func(r *bundle.EpochReset) { r.TrustDomain = "other.test" }, root...),
		"the same epoch":      seal(func(r *bundle.EpochReset) { r.Epoch = 2 }, root...),
		"not a statement":     []byte("{}"),
	} {
		require.ErrorIs(t, keeper.Reset(t.Context(), raw), epoch.ErrRefused, name)
		head, err := memory.Head()
		require.NoError(t, err)
		require.Equal(t, before, head, name)
	}
	require.NoError(t, keeper.Reset(t.Context(), seal(same, root...)))
	head, err := memory.Head()
	require.NoError(t, err)
	require.Equal(t, journal.Head{Epoch: 3}, head)
	require.ErrorIs(t, keeper.Reset(t.Context(), seal(same, root...)), epoch.ErrRefused, "again")
}
