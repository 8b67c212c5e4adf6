package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// VaultAuth is the one program of a test world that is Writ's own.
const VaultAuth = "vault-plugin-auth-writ"

// Own compiles a program of this source tree (cmd/NAME), as the tree is now, and returns its path. Go's build cache makes doing it
// again cheap. Each tree has its own place in the cache.
func Own(ctx context.Context, w io.Writer, name string) (string, error) {
	tools, err := sourceDir()
	if err != nil {
		return "", err
	}
	tree, err := filepath.Abs(filepath.Dir(tools))
	if err != nil {
		return "", fmt.Errorf("tools: %w", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	goCommand, _, err := goTool(ctx, tools)
	if err != nil {
		return "", err
	}
	if w == nil {
		w = io.Discard
	}
	sum := sha256.Sum256([]byte(tree))
	dir := filepath.Join(cache, "tree-"+hex.EncodeToString(sum[:])[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("tools: %w", err)
	}
	b := build{module: module{name: name, flags: []string{"-ldflags", "-s -w"}, seconds: 60}, src: tree, cache: dir, goCommand: goCommand, wholeCount: 1}
	bar := progress{w: w, what: "compiling " + name, seconds: b.estimate(1)}
	unlock, err := lock(ctx, filepath.Join(dir, name+".lock"), &bar)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		bar.w = io.Discard // it is there, and at most brought up to date
	}
	return path, b.goBuild(ctx, dir, []program{{name, "./cmd/" + name}}, &bar)
}
