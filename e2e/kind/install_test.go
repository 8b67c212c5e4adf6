package kind

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/kind/stage"
	"github.com/writ-dev/writ/e2e/page"
)

// installing types the pages about installing, upgrading and backing up into one shell, in a folder with the files that they
// speak of. What a reader has and kind has not (a load balancer, a registry) comes from a second file of values.
func installing(s *scene) {
	dir := s.TempDir()
	root, err := filepath.Abs("../..")
	require.NoError(s, err)
	write := func(name string, content []byte) {
		require.NoError(s, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	for _, name := range []string{stage.Hub, stage.East} {
		raw, err := os.ReadFile(s.Clusters[name].Kubeconfig)
		require.NoError(s, err)
		write(name+".kubeconfig", raw)
	}
	for name, values := range valuesOf(s, "../../docs/install.md") {
		write(name, values)
	}
	write("hub-here.yaml", []byte(`trustDomain: kind.example.org
advertise: {enrol: "writ-hub-control-plane:30443", connect: "writ-hub-control-plane:30444"}
service: {type: NodePort, nodePorts: {enrol: 30443, connect: 30444}}
persistence: {size: 1Gi}
networkPolicy: {apiServer: {cidrs: []}}
image: {tag: `+s.Tag+`}
`))
	write("spoke-here.yaml", []byte(`networkPolicy: {hub: {cidrs: [], ports: [30443, 30444]}, apiServer: {cidrs: []}}
persistence: {size: 1Gi}
image: {tag: `+s.Tag+`}
`))
	var commands []string
	for _, part := range []struct{ file, kind string }{{"install", "console"}, {"operating", "console pod"}, {"upgrade", "console pod"}} {
		more, err := page.Commands("../../docs/"+part.file+".md", part.kind)
		require.NoError(s, err)
		commands = append(commands, more...)
	}
	here := strings.NewReplacer(
		"deploy/charts/", s.Charts+"/",
		"-f hub-values.yaml", "-f hub-values.yaml -f hub-here.yaml",
		"-f spoke-values.yaml", "-f spoke-values.yaml -f spoke-here.yaml",
		"--wait", "--wait --timeout 3m",
		"apply --server-side", "apply --server-side --force-conflicts --dry-run=server", // Helm's are in place
		"make images VERSION=v0.1.0", "make -C "+root+" -n images", // they are made, and in the clusters
	)
	s.shop(stage.East)
	out := s.shell(dir, here.Replace(strings.Join(commands, "\n")))
	require.Contains(s, out, "east   Joined   yes")
	s.clear(stage.East, stage.Hub)
}

var block = regexp.MustCompile("(?s)```yaml\n# ([a-z-]+\\.yaml)[^\n]*\n(.*?)```")

// valuesOf are the blocks of a page that begin with the name of a file.
func valuesOf(s *scene, file string) map[string][]byte {
	s.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(s, err)
	files := map[string][]byte{}
	for _, found := range block.FindAllSubmatch(raw, -1) {
		files[string(found[1])] = found[2]
	}
	require.Len(s, files, 2)
	return files
}
