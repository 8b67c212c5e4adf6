// Package e2e proves whole systems: a hub and spokes as processes of their own, on real API servers.
package e2e

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/fleet"
)

// bin is the folder of writ, writ-hub and writ-spoke, as they are in the tree now.
var bin string

func TestMain(m *testing.M) { os.Exit(fleet.Main(m, func(dir string) { bin = dir })) }

func start(t *testing.T, o fleet.Options) *fleet.Fleet {
	t.Helper()
	return startWith(t, bin, o)
}

// startWith starts a fleet of the programs in a folder.
func startWith(t *testing.T, programs string, o fleet.Options) *fleet.Fleet {
	t.Helper()
	o.Bin, o.Progress = programs, os.Stderr
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
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
