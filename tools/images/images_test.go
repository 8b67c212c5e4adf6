package main

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/stretchr/testify/require"
)

// spokeMost is what the spoke's image may weigh on a node, in bytes: it runs in every cluster.
const spokeMost = 40e6

func spoke(t *testing.T, source string) (made, options) {
	t.Helper()
	o := options{source: source, out: t.TempDir(), version: "v0.0.0+test", repository: "writ-dev", arch: "amd64", created: time.Unix(1700000000, 0), only: []string{"writ-spoke"}}
	all, err := o.make(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0], o
}

// elsewhere is another checkout of the same sources.
func elsewhere(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "another", "place")
	for _, folder := range []string{"api", "cmd/writ-spoke", "credentials", "internal", "spoke"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("../..", folder))))
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join("../..", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, file), raw, 0o600))
	}
	return root
}

func TestTheSameSourcesGiveTheSameImage(t *testing.T) {
	one, _ := spoke(t, "../..")
	other, _ := spoke(t, elsewhere(t))
	require.Equal(t, one.digest, other.digest)
	for _, name := range []string{"writ-spoke.tar", "writ-spoke.spdx.json"} {
		first, err := os.ReadFile(filepath.Join(filepath.Dir(one.file), name))
		require.NoError(t, err)
		second, err := os.ReadFile(filepath.Join(filepath.Dir(other.file), name))
		require.NoError(t, err)
		require.Equal(t, first, second, name)
	}
}

func TestAnImageHoldsAStaticProgramAndRunsAsNobodyElse(t *testing.T) {
	m, _ := spoke(t, "../..")
	require.Equal(t, "writ-dev/writ-spoke:v0.0.0_test", m.reference)
	require.Less(t, float64(m.size), spokeMost)

	image, err := tarball.ImageFromPath(m.file, nil)
	require.NoError(t, err)
	digest, err := image.Digest()
	require.NoError(t, err)
	require.Equal(t, m.digest, digest.String(), "what was printed is what was written")
	file, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "65532:65532", file.Config.User)
	require.Equal(t, []string{"/writ-spoke"}, file.Config.Entrypoint)

	files := contents(t, image)
	require.Equal(t, []string{"etc/", "tmp/", "var/", "var/lib/", "var/lib/writ-spoke/", "etc/passwd", "etc/group", "writ-spoke"}, files.names)
	require.Equal(t, 65532, files.headers["var/lib/writ-spoke/"].Uid)
	require.Zero(t, files.headers["writ-spoke"].Uid, "the program does not belong to who runs it")
	require.EqualValues(t, 0o555, files.headers["writ-spoke"].Mode)

	program, err := elf.Open(files.program)
	require.NoError(t, err)
	defer program.Close()
	for _, segment := range program.Progs {
		require.NotEqual(t, elf.PT_INTERP, segment.Type, "the program is not static")
	}
}

func TestTheBillOfMaterials(t *testing.T) {
	m, o := spoke(t, "../..")
	f, err := os.Open(filepath.Join(o.out, "writ-spoke.spdx.json"))
	require.NoError(t, err)
	defer f.Close()
	document, err := json.Read(f)
	require.NoError(t, err)
	require.NoError(t, spdxlib.ValidateDocument(document))
	purls := map[string]string{}
	for _, p := range document.Packages {
		for _, r := range p.PackageExternalReferences {
			purls[p.PackageName] = r.Locator
		}
	}
	require.Contains(t, document.DocumentNamespace, strings.TrimPrefix(m.digest, "sha256:"))
	require.Contains(t, purls["google.golang.org/grpc"], "pkg:golang/google.golang.org/grpc@v1.")
	require.Contains(t, purls["stdlib"], "pkg:golang/stdlib@v1.")
	listed, err := os.ReadFile("../../docs/deps/writ-spoke.txt")
	require.NoError(t, err)
	for _, module := range strings.Fields(string(listed)) {
		require.Contains(t, purls, module, "a module of the program that the bill does not name")
	}
}

func TestWhatCannotBeMadeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		options options
		says    string
	}{
		"an unknown image":           {options{only: []string{"writ-hubb"}}, `there is no image "writ-hubb"`},
		"Vault without its engine":   {options{vault: "/vault"}, "-vault, -vault-plugin and -vault-auth go together"},
		"Vault without any":          {options{only: []string{"writ-test-vault"}}, "pass -vault, -vault-plugin and -vault-auth"},
		"a program that is not Go":   {options{only: []string{"writ-test-vault"}, vault: "go.mod", plugin: "go.sum", auth: "go.sum"}, "go.mod: unrecognized file format"},
		"sources that are not there": {options{only: []string{"writ-spoke"}, source: "compile", arch: "amd64"}, "compiling writ-spoke"},
		"an unknown architecture":    {options{only: []string{"writ-spoke"}, source: "../..", arch: "pdp11"}, "unsupported GOOS/GOARCH pair linux/pdp11"},
		"a repository that is none":  {options{only: []string{"writ-spoke"}, source: "../..", arch: "amd64", repository: "Writ Dev"}, "repository can only contain"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.out, tc.options.version = t.TempDir(), "v0.0.0"
			if tc.options.repository == "" {
				tc.options.repository = "writ-dev"
			}
			_, err := tc.options.make(t.Context())
			require.ErrorContains(t, err, tc.says)
			left, err := os.ReadDir(tc.options.out)
			require.NoError(t, err)
			require.Empty(t, left, "nothing was written")
		})
	}
}

type listing struct {
	names   []string
	headers map[string]*tar.Header
	program string // where writ-spoke was unpacked
}

// contents unpacks the layers in their order.
func contents(t *testing.T, image v1.Image) listing {
	t.Helper()
	l := listing{headers: map[string]*tar.Header{}, program: filepath.Join(t.TempDir(), "program")}
	layers, err := image.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2)
	for _, layer := range layers {
		reader, err := layer.Uncompressed()
		require.NoError(t, err)
		archive := tar.NewReader(reader)
		for {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			l.names = append(l.names, header.Name)
			l.headers[header.Name] = header
			if header.Name == "writ-spoke" {
				raw, err := io.ReadAll(archive)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(l.program, raw, 0o600))
			}
		}
		require.NoError(t, reader.Close())
	}
	return l
}
