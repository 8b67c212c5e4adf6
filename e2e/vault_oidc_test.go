package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// Vault knows of no way to the cluster, and vouches for an action; the cluster's API server takes its word. Nothing is left of it.
func TestVaultVouchesWhereItHasNoWay(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Vault: true, OIDC: true})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	w.create(ctx, "checkout")
	done := w.ended(ctx, w.scale(ctx, "checkout", 4))
	require.Equal(t, v1alpha1.PhaseSucceeded, done.Status.Phase, done.Status.Message)
	worldtest.Eventually(t, "the spoke to have no credential any more", func(ctx context.Context) error {
		out, err := f.Writ(ctx, "credentials", "list")
		if err == nil && strings.Contains(out, "checkout") {
			return errors.New(out)
		}
		return err
	})
	out, err := f.WritVault(ctx, "vault", "doctor", "east", "--workload", f.Clusters["east"].Kubeconfig(), "--all")
	require.NoError(t, err, out)
	require.Contains(t, out, "vouched for to spiffe://"+fleet.TrustDomain+"/cluster/east")
	clean(ctx, t, f)

	out, err = f.WritVault(ctx, "vault", "setup", "east", "--workload", f.Clusters["east"].Kubeconfig(), "--oidc", "--stock")
	require.ErrorContains(t, err, "--stock and --oidc are two ways", out)
	out, err = f.WritVault(ctx, "vault", "remove", "east")
	require.NoError(t, err, out)
	refused := w.ended(ctx, w.scale(ctx, "checkout", 5))
	require.NotEqual(t, v1alpha1.PhaseSucceeded, refused.Status.Phase)
	require.Contains(t, refused.Status.Message, "writ vault setup east")
}
