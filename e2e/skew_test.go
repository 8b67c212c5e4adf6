package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

var currentLine = regexp.MustCompile(`const Current uint32 = \w+`)

// withCapability builds one of the programs as if it were of another capability, beside the others as they are.
func withCapability(t *testing.T, program string, n uint32) (programs string) {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs("../api/capability/capability.go")
	require.NoError(t, err)
	raw, err := os.ReadFile(source)
	require.NoError(t, err)
	require.Len(t, currentLine.FindAll(raw, -1), 1)
	other := filepath.Join(dir, "capability.go")
	require.NoError(t, os.WriteFile(other, currentLine.ReplaceAll(raw, fmt.Appendf(nil, "const Current uint32 = %d", n)), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: other}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, program), "../cmd/"+program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, name := range []string{"writ", "writ-hub", "writ-spoke"} {
		if name != program {
			require.NoError(t, os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)))
		}
	}
	return dir
}

// A spoke that is one capability older or newer than its hub does its work; by two it is not let in, does nothing, and its
// operator is told what to upgrade.
func TestSkew(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	east, err := f.Workloads("east")
	require.NoError(t, err)
	require.NoError(t, east.Create(ctx, fleet.Deployment("checkout", 3)))
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	replicas := 3
	works := func(name string) {
		t.Helper()
		replicas = 7 - replicas // 4 and 3 in turn
		carriedOut(ctx, t, f, scaleIn("east", name, fmt.Sprint(replicas)))
	}
	refused := func(name, says string) {
		t.Helper()
		_, err := f.LaunchSpoke("east")
		require.NoError(t, err)
		var object v1alpha1.Cluster
		require.Eventually(t, func() bool {
			require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Name: "east"}, &object))
			return strings.HasPrefix(object.Status.Message, says)
		}, 30*time.Second, 100*time.Millisecond, says)
		require.False(t, object.Status.Connected)
		r := scaleIn("east", name, "9")
		r.Spec.Target.Name = "nothing" // a later spoke finds nothing to do
		require.NoError(t, f.Client.Create(ctx, r))
		r, err = f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Message == "cluster east is not connected" })
		require.NoError(t, err)
		require.Nil(t, r.Status.Bundle)
		out, _ := f.Writ(ctx, "doctor")
		require.Contains(t, out, "does not let it in: VersionSkew: ")
		f.KillSpoke("east")
	}

	older, newer, tooNew := capability.Current-1, capability.Current+1, capability.Current+2
	for name, n := range map[string]uint32{"older-spoke": older, "newer-spoke": newer} {
		f.KillSpoke("east")
		f.Bin = withCapability(t, "writ-spoke", n)
		require.NoError(t, f.StartSpoke(ctx, "east"))
		works(name)
		out, err := f.Writ(ctx, "doctor")
		require.NoError(t, err)
		require.Contains(t, out, fmt.Sprintf("its spoke has capability %d, the hub %d", n, capability.Current))
	}
	f.KillSpoke("east")
	f.Bin = withCapability(t, "writ-spoke", tooNew)
	refused("too-new-spoke", fmt.Sprintf("VersionSkew: the spoke has capability %d and this side %d, one apart is allowed: upgrade this side first", tooNew, capability.Current))

	f.KillHub() // the same from the other side: the hub is ahead by two
	f.Bin = withCapability(t, "writ-hub", tooNew)
	require.NoError(t, f.StartHub(ctx))
	f.Bin = bin
	refused("too-old-spoke", fmt.Sprintf("VersionSkew: the spoke has capability %d and this side %d, one apart is allowed: upgrade the spoke", capability.Current, tooNew))

	f.KillHub()
	require.NoError(t, f.StartHub(ctx))
	require.NoError(t, f.StartSpoke(ctx, "east"))
	works("again")
}
