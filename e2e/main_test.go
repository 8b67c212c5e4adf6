// Package e2e proves whole systems: a hub and spokes as processes of their own, on real API servers.
package e2e

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/fleet"
)

func start(t *testing.T, o fleet.Options) *fleet.Fleet {
	t.Helper()
	o.Dir, o.Bin, o.Progress = t.TempDir(), "../bin", os.Stderr
	f, err := fleet.Start(t.Context(), o)
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"writ-hub", "writ-spoke-east"} {
				raw, _ := os.ReadFile(f.LogOf(name))
				t.Logf("%s:\n%s", name, raw[max(0, len(raw)-4000):])
			}
		}
		f.Stop()
	})
	require.NoError(t, err)
	return f
}
