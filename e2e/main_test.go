// Package e2e proves whole systems: a hub and spokes as processes of their own, on real API servers.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/writ-dev/writ/e2e/fleet"
)

// bin is the folder of writ, writ-hub and writ-spoke, as they are in the tree now.
var bin string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "writ-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	command := exec.CommandContext(context.Background(), "go", "build", "-o", dir, "../cmd/writ", "../cmd/writ-hub", "../cmd/writ-spoke")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	bin = dir
	log.SetLogger(logr.Discard())
	return m.Run()
}

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
