package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// build is the part of one module that is wanted, and where it goes.
type build struct {
	module            // programs holds only the wanted ones
	src        string // the tool module's directory
	cache      string
	hash       string // of everything that goes into the programs
	goCommand  string
	wholeCount int // programs of the whole module, for the time estimate
}

// path is where the program is, or will be.
func (b build) path(p program) string {
	return filepath.Join(b.cache, p.name+"-"+b.hash, p.name)
}

// missing lists the programs that are not in the cache.
func (b build) missing() []program {
	return slices.DeleteFunc(slices.Clone(b.programs), func(p program) bool { return executable(b.path(p)) })
}

// plan groups the wanted programs by module, in the catalogue's order.
func plan(ctx context.Context, wanted []string) ([]build, error) {
	root, err := sourceDir()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	goCommand, version, err := goTool(ctx, root)
	if err != nil {
		return nil, err
	}
	var builds []build
	for _, m := range catalogue {
		b := build{module: m, src: filepath.Join(root, m.name), cache: cache, goCommand: goCommand, wholeCount: len(m.programs)}
		b.programs = slices.DeleteFunc(slices.Clone(m.programs), func(p program) bool { return !slices.Contains(wanted, p.name) })
		if len(b.programs) == 0 {
			continue
		}
		if b.hash, err = fingerprint(b, version); err != nil {
			return nil, err
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// fingerprint covers the module's pinned sources, the flags and the compiler.
func fingerprint(b build, goVersion string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(b.src, name))
		if err != nil {
			return "", fmt.Errorf("tools: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	fmt.Fprintf(h, "%q %q", goVersion, append(slices.Clone(fixedFlags), b.flags...))
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// sourceDir finds the directory that holds the tool modules.
func sourceDir() (string, error) {
	const proof = "kubernetes/go.mod"
	if dir := os.Getenv("WRIT_TOOLS_DIR"); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, proof)); err != nil {
			return "", fmt.Errorf("tools: $WRIT_TOOLS_DIR %s holds no %s", dir, proof)
		}
		return dir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("tools: %w", err)
	}
	for {
		tools := filepath.Join(dir, "tools")
		if _, err := os.Stat(filepath.Join(tools, proof)); err == nil {
			return tools, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("tools: no tools/kubernetes/go.mod here or above: run from a source checkout of Writ, or set WRIT_TOOLS_DIR")
		}
		dir = parent
	}
}

func cacheDir() (string, error) {
	if dir := os.Getenv("WRIT_TOOLS_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("tools: no cache directory, set WRIT_TOOLS_CACHE: %w", err)
	}
	return filepath.Join(dir, "writ", "tools"), nil
}

// goTool finds the go command and the version it has in the tool modules,
// where a toolchain line may choose another than elsewhere.
func goTool(ctx context.Context, root string) (path, version string, err error) {
	path, err = exec.LookPath("go")
	if err != nil {
		return "", "", errors.New("tools: the go command is not in PATH: it compiles the programs that tests and the demo run")
	}
	cmd := exec.CommandContext(ctx, path, "env", "GOVERSION")
	cmd.Dir = filepath.Join(root, "kubernetes")
	out, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("tools: go env GOVERSION: %w", err)
	}
	return path, strings.TrimSpace(string(out)), nil
}
