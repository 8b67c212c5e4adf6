// Package tools makes sure that the programs of a test world exist: the
// Kubernetes control plane, etcd, kwok, Vault and Vault's Kubernetes plugin.
//
// They are compiled from the Go modules under tools/, once, into a cache
// outside the source tree. A cached program is named after everything that
// went into it, so a changed version never meets a stale binary. Nothing is
// downloaded that those modules' go.sum files don't name.
package tools

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// The programs.
const (
	Etcd                   = "etcd"
	KubeAPIServer          = "kube-apiserver"
	KubeControllerManager  = "kube-controller-manager"
	KubeScheduler          = "kube-scheduler"
	Kubectl                = "kubectl"
	Kwok                   = "kwok"
	Vault                  = "vault"
	VaultKubernetesSecrets = "vault-plugin-secrets-kubernetes"
)

// module is one Go module under tools/ and the programs it pins.
type module struct {
	name     string
	flags    []string
	programs []program
	seconds  int // to compile all of it on two cores with a cold build cache
}

type program struct {
	name string
	pkg  string
}

// versionFlags makes the Kubernetes programs say which version they are;
// without it they call themselves v0.0.0-master, which version checks refuse.
const versionFlags = "-s -w" +
	" -X k8s.io/component-base/version.gitVersion=v1.37.2" +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=37" +
	" -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2"

var catalogue = []module{
	{
		name:     "etcd",
		flags:    []string{"-ldflags", "-s -w"},
		programs: []program{{Etcd, "go.etcd.io/etcd/server/v3"}},
		seconds:  45,
	},
	{
		name:  "kubernetes",
		flags: []string{"-ldflags", versionFlags},
		programs: []program{
			{KubeAPIServer, "k8s.io/kubernetes/cmd/kube-apiserver"},
			{KubeControllerManager, "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{KubeScheduler, "k8s.io/kubernetes/cmd/kube-scheduler"},
			{Kubectl, "k8s.io/kubernetes/cmd/kubectl"},
		},
		seconds: 400,
	},
	{
		name:     "kwok",
		flags:    []string{"-ldflags", "-s -w"},
		programs: []program{{Kwok, "sigs.k8s.io/kwok/cmd/kwok"}},
		seconds:  60,
	},
	{
		name:     "vault",
		flags:    []string{"-tags", "minimal", "-ldflags", "-s -w"},
		programs: []program{{Vault, "github.com/hashicorp/vault"}},
		seconds:  240,
	},
	{
		name:  "vault-plugin-secrets-kubernetes",
		flags: []string{"-ldflags", "-s -w"},
		programs: []program{{
			VaultKubernetesSecrets,
			"github.com/hashicorp/vault-plugin-secrets-kubernetes/cmd/vault-plugin-secrets-kubernetes",
		}},
		seconds: 45,
	},
}

// Names lists every program this package can make.
func Names() []string {
	var names []string
	for _, m := range catalogue {
		for _, p := range m.programs {
			names = append(names, p.name)
		}
	}
	return names
}

// Paths tells where each program is, by its name.
type Paths map[string]string

// EnsureAll returns the paths of the named programs (all of Names when none
// is named), and compiles what is missing. Progress goes to w, which may be
// nil; nothing is written when nothing is compiled.
//
// A program in $KUBEBUILDER_ASSETS is taken from there. The cache is
// $WRIT_TOOLS_CACHE, or writ/tools in the user's cache directory.
func EnsureAll(ctx context.Context, w io.Writer, names ...string) (Paths, error) {
	if len(names) == 0 {
		names = Names()
	}
	paths := Paths{}
	var wanted []string
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("tools: unknown program %q", name)
		}
		if path, ok := fromAssets(name); ok {
			paths[name] = path
		} else if !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return paths, nil
	}
	builds, err := plan(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if w == nil {
		w = io.Discard
	}
	if err := compileMissing(ctx, w, builds); err != nil {
		return nil, err
	}
	for _, b := range builds {
		for _, p := range b.programs {
			paths[p.name] = b.path(p)
		}
	}
	return paths, nil
}

// Ensure is EnsureAll for one program, or Own for VaultAuth.
func Ensure(ctx context.Context, w io.Writer, name string) (string, error) {
	if name == VaultAuth {
		return Own(ctx, w, name)
	}
	paths, err := EnsureAll(ctx, w, name)
	return paths[name], err
}

func fromAssets(name string) (string, bool) {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		return "", false
	}
	path := filepath.Join(dir, name)
	return path, executable(path)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
