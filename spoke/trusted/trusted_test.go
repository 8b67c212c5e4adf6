package trusted_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/spoke/journal"
	"github.com/writ-dev/writ/spoke/trusted"
)

// A spoke follows, remembers what it took over a restart, and takes nothing that does not follow.
func TestWalking(t *testing.T) {
	f, dir := trusttest.New(t), t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	open := func() (*trusted.Keeper, *journal.Journal) {
		memory, err := journal.Open(dir, quiet)
		require.NoError(t, err)
		k, err := trusted.Open(memory, f.Root.Bytes(), quiet, func() time.Time { return f.Now })
		require.NoError(t, err)
		return k, memory
	}
	k, memory := open()
	second, third := f.Sign(f.Draft(2)), f.Sign(f.Draft(3))
	for name, chain := range map[string][][]byte{
		"one is left out":   {third},
		"signed by one key": {f.Sign(f.Draft(2), f.RootPrivate[0])},
		"no trust root":     {[]byte("{}")},
		"good, then bad":    {second, f.Sign(f.Draft(4))},
	} {
		require.ErrorIs(t, k.Walk(t.Context(), chain), trust.ErrRoot, name)
		require.EqualValues(t, 1, k.Present().Version(), name)
		kept, err := memory.Trust()
		require.NoError(t, err)
		require.Nil(t, kept, name)
	}
	require.NoError(t, k.Walk(t.Context(), [][]byte{second, third}))
	require.NoError(t, k.Walk(t.Context(), [][]byte{f.Root.Bytes(), second, third}), "said again")
	require.EqualValues(t, 3, k.Present().Version())
	want := k.Present().Keep()
	require.NoError(t, memory.Close())
	k, memory = open()
	require.Equal(t, want, k.Present().Keep(), "with the former ones")
	require.NoError(t, memory.Close())
}
