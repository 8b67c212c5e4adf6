package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/identity"
)

// Vault keeps the key of the CA from the first day: it signs every SVID; while it is sealed what runs goes on, and the hub starts; and
// the authority is replaced by another of Vault's while actions are under way.
func TestVaultKeepsTheKeyOfTheCA(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, PKI: true, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	data := filepath.Join(f.Dir, "hub")
	raw, err := os.ReadFile(filepath.Join(data, "ca", "ca.key"))
	require.NoError(t, err)
	require.Empty(t, raw)
	done := func(name string) {
		before := w.create(ctx, name)
		w.succeeded(ctx, w.scale(ctx, name, 4), before)
	}
	done("checkout")

	require.NoError(t, f.Vault.Seal(ctx))
	done("sealed")
	f.KillHub()
	require.NoError(t, f.StartHub(ctx), "with the SVID that it has")
	done("sealed-restarted")
	f.KillHub()
	require.NoError(t, os.Remove(filepath.Join(data, "ca", "hub.pem")))
	require.NoError(t, f.StartHub(ctx), "without any SVID")
	waits := w.create(ctx, "waits")
	asked := w.scale(ctx, "waits", 4)
	require.Eventually(t, func() bool { return logged(t, f, "writ-hub", "no spoke can reach the hub until it has an SVID") > 0 }, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		return logged(t, f, "writ-hub", "the CA's key is away: vault is sealed or starting: logging in as the hub") > 0
	}, 30*time.Second, 50*time.Millisecond)
	w.untouched(ctx, waits)
	require.NoError(t, f.Vault.Unseal(ctx))
	w.succeeded(ctx, asked, waits)

	out, err := f.Writ(ctx, "ca", "rotate", "--data-dir", data)
	require.Error(t, err)
	require.Contains(t, out, "make it by writ vault authority --next")
	rotated(ctx, t, w, data)
	done("after")
	clean(ctx, t, f)
}

// rotated replaces the authority while actions are under way, each of which is done.
func rotated(ctx context.Context, t *testing.T, w *workloads, data string) {
	t.Helper()
	f := w.f
	before, err := identity.LoadSVID(filepath.Join(data, "ca", "hub.pem"))
	require.NoError(t, err)
	w.create(ctx, "during")
	_, err = f.WritVault(ctx, "vault", "authority", "--next")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		out, err := f.Writ(ctx, "ca", "rotate", "--data-dir", data)
		if err == nil && !strings.Contains(out, "one authority, good until") {
			err = errors.New(out)
		}
		done <- err
	}()
	actions := 0
	for rotating := true; rotating; actions++ {
		r := w.ended(ctx, w.scale(ctx, "during", 4-actions%2))
		require.Equal(t, v1alpha1.PhaseSucceeded, r.Status.Phase, r.Status.Message)
		select {
		case err := <-done:
			require.NoError(t, err)
			rotating = false
		default:
		}
	}
	t.Logf("%d actions were done during the rotation", actions)
	after, err := identity.LoadSVID(filepath.Join(data, "ca", "hub.pem"))
	require.NoError(t, err)
	require.NotEqual(t, identity.AuthorityOf(before.Leaf()), identity.AuthorityOf(after.Leaf()))
	out, err := f.WritVault(ctx, "vault", "authority", "--end-old")
	require.NoError(t, err)
	require.Contains(t, out, "1 authorities of writ-ca ended")
}
