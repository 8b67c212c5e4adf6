package e2e

import (
	"context"
	"errors"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/drill"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// trustRoot2 is the line about the trust root after the drill.
var trustRoot2 = regexp.MustCompile(`(?m)^Trust root +version 2$`)

// Every key of a fleet is replaced while actions flow: none is lost, everybody has followed, and the audit log has no gap. It can
// fail: where Vault was not told of the next trust root the drill lost 15 actions of 37, and 4 of 50 before Vault knew the former one still.
func TestEveryKeyIsRotatedWhileActionsFlow(t *testing.T) {
	t.Parallel()
	t.Run("tokenrequest", func(t *testing.T) { rotateAll(t, false, 2) })
	t.Run("vault", func(t *testing.T) { rotateAll(t, true, 7) })
}

func rotateAll(t *testing.T, vault bool, steps int) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}, Vault: vault})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	report, err := drill.RotateAll(ctx, f, func(since time.Time, format string, args ...any) { t.Logf(format, args...) })
	report.Print(os.Stderr)
	require.NoError(t, err)
	require.Empty(t, report.Lost)
	require.Greater(t, report.Actions, 10)
	require.Equal(t, 2, report.High)
	require.Len(t, report.Steps, steps)
	hub := f.Dir + "/hub"
	out, err := f.Writ(ctx, "trust", "status", "--data-dir", hub)
	require.NoError(t, err)
	require.Contains(t, out, "version 2 of the trust root")
	require.Contains(t, out, "; 0 of 2 clusters do not have it yet")
	for name := range f.Clusters {
		worldtest.Eventually(t, "the Cluster to say so too", func(ctx context.Context) error {
			out, err := f.Writ(ctx, "cluster", "describe", name)
			if err == nil && !trustRoot2.MatchString(out) {
				err = errors.New(out)
			}
			return err
		})
	}
	out, err = f.Writ(ctx, "ca", "status", "--data-dir", hub)
	require.NoError(t, err)
	require.Contains(t, out, "one authority")
	out, err = f.Writ(ctx, "audit", "verify")
	require.NoError(t, err, out)
	if vault { // it has the hub's trust root and authority, no others
		for name, c := range f.Clusters {
			out, err := f.WritVault(ctx, "vault", "doctor", name, "--workload", c.Kubeconfig())
			require.NoError(t, err, out)
		}
	}
}
