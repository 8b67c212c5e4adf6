package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// unsigned waits until a request says why it is not signed.
func (w *workloads) unsigned(ctx context.Context, r *v1alpha1.ActionRequest, says string) {
	w.t.Helper()
	waiting, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return strings.Contains(r.Status.Message, "not signed, trying again: ") || r.Status.Phase.Final()
	})
	require.NoError(w.t, err)
	require.Contains(w.t, waiting.Status.Message, says)
	require.NotContains(w.t, waiting.Status.Message, "\n")
	w.t.Log(waiting.Status.Message)
}

// The gateway's key is in Vault from the first day: what Vault signs is done; what it does not sign waits, says why, and is done once
// it does; and the key is replaced by its next version.
func TestVaultHoldsTheGatewaysKey(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Transit: true, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	require.NoFileExists(t, filepath.Join(f.Dir, "trust", "gateway.key"))
	before := w.create(ctx, "checkout")
	w.succeeded(ctx, w.scale(ctx, "checkout", 4), before)

	sealedBefore := w.create(ctx, "sealed")
	require.NoError(t, f.Vault.Seal(ctx))
	sealed := w.scale(ctx, "sealed", 4)
	w.unsigned(ctx, sealed, "vault is sealed")
	w.untouched(ctx, sealedBefore)
	f.KillHub()
	require.NoError(t, f.StartHub(ctx), "all else that it does is needed while Vault is sealed")
	w.untouched(ctx, sealedBefore)
	require.NoError(t, f.Vault.Unseal(ctx))
	w.succeeded(ctx, sealed, sealedBefore)

	root, err := f.Vault.Client(f.Vault.RootToken())
	require.NoError(t, err)
	_, err = root.Logical().WriteWithContext(ctx, "sys/policies/acl/writ.gateway", map[string]any{"policy": `path "transit/keys/writ-gateway" { capabilities = ["read"] }`})
	require.NoError(t, err)
	deniedBefore := w.create(ctx, "denied")
	denied := w.scale(ctx, "denied", 4)
	w.unsigned(ctx, denied, "permission denied")
	w.untouched(ctx, deniedBefore)
	_, err = f.WritVault(ctx, "vault", "gateway")
	require.NoError(t, err)
	w.succeeded(ctx, denied, deniedBefore)

	next, public := filepath.Join(f.Dir, "root-2.json"), filepath.Join(f.Dir, "gateway-2.pem")
	trust := func(args ...string) string {
		out, err := f.WritVault(ctx, args...)
		require.NoError(t, err)
		return out
	}
	data := filepath.Join(f.Dir, "hub")
	_, err = f.Writ(ctx, "trust", "rotate-gateway", next, "--new-public", filepath.Join(f.Dir, "gateway.pem"))
	require.ErrorContains(t, err, "is the gateway's key already")
	require.NoFileExists(t, next)
	trust("vault", "gateway-key", public, "--rotate")
	trust("trust", "rotate-gateway", next, "--new-public", public, "--key", filepath.Join(f.Dir, "trust", "root-1.key"), "--key", filepath.Join(f.Dir, "trust", "root-2.key"))
	trust("trust", "publish", next, "--data-dir", data)
	require.Eventually(t, func() bool {
		return strings.Contains(trust("trust", "status", "--data-dir", data), "0 of 1 clusters do not have it yet")
	}, time.Minute, 100*time.Millisecond)
	rotatedBefore := w.create(ctx, "rotated")
	w.succeeded(ctx, w.scale(ctx, "rotated", 4), rotatedBefore)
	clean(ctx, t, f)

	refusesAnotherKey(ctx, t, f)
}

// refusesAnotherKey starts the hub with a key of Vault's that the trust root does not name.
func refusesAnotherKey(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	t.Helper()
	_, err := f.WritVault(ctx, "vault", "gateway-key", filepath.Join(f.Dir, "other.pem"), "--key", "transit/other")
	require.NoError(t, err)
	_, err = f.WritVault(ctx, "vault", "gateway", "--key", "transit/other")
	require.NoError(t, err)
	f.Process("writ-hub").Stop(10 * time.Second)
	raw, err := os.ReadFile(filepath.Join(f.Dir, "hub.yaml"))
	require.NoError(t, err)
	config := filepath.Join(f.Dir, "other.yaml")
	require.NoError(t, os.WriteFile(config, []byte(strings.Replace(string(raw), "transit/writ-gateway", "transit/other", 1)), 0o600))
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "writ-hub"), "--config", config).CombinedOutput()
	require.Error(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(lines[len(lines)-1])
	require.NotContains(t, string(out), "panic")
	require.Contains(t, lines[len(lines)-1], "Vault's key transit/other holds no key of the role gateway in version 2 of the trust root")
}
