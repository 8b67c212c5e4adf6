package kind

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/e2e/kind/stage"
	"github.com/writ-dev/writ/e2e/page"
	"github.com/writ-dev/writ/internal/world/tools"
)

// quickstart types every command of docs/quickstart-kind.md into one shell, but for the last, which deletes the clusters.
func quickstart(s *scene) {
	commands, err := page.Commands("../../docs/quickstart-kind.md", "console")
	require.NoError(s, err)
	last := len(commands) - 1
	require.Contains(s, commands[last], "make kind-down")
	require.NoError(s, os.RemoveAll("../../bin/kind/trust"))
	require.NoError(s, os.RemoveAll("../../bin/kind/east.join"))
	require.Contains(s, s.shell("../..", strings.Join(commands[:last], "\n")), "Succeeded")
	s.clear(stage.East, stage.Hub)
}

// shell runs a script that stops at the first failure, with writ, kubectl and helm at hand, and returns what it printed.
func (s *scene) shell(dir, script string) string {
	s.Helper()
	paths, err := tools.EnsureAll(s.ctx, os.Stderr, tools.Kubectl)
	require.NoError(s, err)
	shell := exec.CommandContext(s.ctx, "bash", "-euxo", "pipefail", "-c", script)
	shell.Dir = dir
	path := strings.Join([]string{filepath.Dir(s.Writ), filepath.Dir(paths[tools.Kubectl]), filepath.Dir(s.Settings.Helm), os.Getenv("PATH")}, ":")
	shell.Env = append(os.Environ(), "PATH="+path, "HELM_CACHE_HOME="+s.TempDir(), "HELM_CONFIG_HOME="+s.TempDir(),
		"HELM_DATA_HOME="+s.TempDir(), "MAKEFLAGS=")
	out, err := shell.CombinedOutput()
	require.NoError(s, err, "%s", out)
	return string(out)
}

// shop makes the namespace of the workloads, which people have before Writ comes.
func (s *scene) shop(name string) {
	s.Helper()
	require.NoError(s, s.Clusters[name].Client.Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: stage.Shop}}))
}

// clear takes Writ away from clusters, and everything that it leaves on purpose.
func (s *scene) clear(names ...string) {
	s.Helper()
	for _, name := range names {
		require.NoError(s, s.Uninstall(s.ctx, name))
		require.NoError(s, s.Purge(s.ctx, name))
		require.Empty(s, s.left(name))
	}
}
