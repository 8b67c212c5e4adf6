package tools

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// sample is a build of a module with two small programs.
func sample(t *testing.T, source string) build {
	t.Helper()
	src := t.TempDir()
	files := map[string]string{
		"go.mod": "module example.com/sample\n\ngo 1.26.0\n", "go.sum": "",
		"a/main.go": source, "b/main.go": source,
	}
	for name, content := range files {
		path := filepath.Join(src, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command")
	}
	b := build{
		module: module{name: "sample", seconds: 10, programs: []program{{"a", "./a"}, {"b", "./b"}}},
		src:    src, cache: filepath.Join(t.TempDir(), "cache"), goCommand: goCommand, wholeCount: 2,
	}
	if b.hash, err = fingerprint(b, "go1"); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTwoWhoWantTheSameCompileItOnce(t *testing.T) {
	b := sample(t, "package main\n\nfunc main() {}\n")
	var out [2]bytes.Buffer
	var wait sync.WaitGroup
	for i := range out {
		wait.Go(func() {
			if err := compileMissing(t.Context(), &out[i], []build{b}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if missing := b.missing(); len(missing) > 0 {
		t.Fatalf("missing %v", missing)
	}
	if n := strings.Count(out[0].String()+out[1].String(), "done after"); n != 1 {
		t.Errorf("compiled %d times:\n%s%s", n, &out[0], &out[1])
	}
	if text := out[0].String() + out[1].String(); !strings.Contains(text, "compiling a, b (1-2 of 2) … 0 s of about ") {
		t.Errorf("progress was %q", text)
	}
	onlyPrograms(t, b)

	var quiet bytes.Buffer
	if err := compileMissing(t.Context(), &quiet, []build{b}); err != nil || quiet.Len() > 0 {
		t.Errorf("nothing to do: %v, %q", err, &quiet)
	}
}

func TestACancelledCompileLeavesNoProgram(t *testing.T) {
	b := sample(t, "package main\n\nfunc main() {}\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.compile(ctx, &progress{w: new(bytes.Buffer), what: "sample"})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want cancelled", err)
	}
	if len(b.missing()) != 2 {
		t.Error("a cancelled compile left a program")
	}
	onlyPrograms(t, b)
}

func TestACompilerErrorIsOneLineThatQuotesIt(t *testing.T) {
	b := sample(t, "package main\n\nfunc main() { undefined() }\n")
	err := b.compile(t.Context(), &progress{w: new(bytes.Buffer), what: "sample"})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v, want one line", err)
	}
	for _, part := range []string{"compiling sample", "undefined: undefined", "sample-build.log"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestAWaitForAnotherProcessEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var out bytes.Buffer
	bar := &progress{w: &out, what: "compiling x"}
	unlock, err := lock(t.Context(), path, bar)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path, bar); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline", err)
	}
	if !strings.Contains(out.String(), "waiting for another process") {
		t.Errorf("said %q", &out)
	}
}

func TestEverythingThatChangesABinaryChangesItsName(t *testing.T) {
	b := sample(t, "package main\n\nfunc main() {}\n")
	seen := map[string]string{b.hash: "nothing"}
	note := func(what string, b build, version string) {
		hash, err := fingerprint(b, version)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[hash]; ok {
			t.Errorf("%s has the name of %s", what, other)
		}
		seen[hash] = what
	}
	note("the compiler", b, "go2")
	flagged := b
	flagged.flags = []string{"-tags", "x"}
	note("the flags", flagged, "go1")
	if err := os.WriteFile(filepath.Join(b.src, "go.sum"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	note("the sources", b, "go1")
}

func TestWhatIsMissingIsSaidInOneLine(t *testing.T) {
	t.Run("no source checkout", func(t *testing.T) {
		t.Chdir(t.TempDir())
		t.Setenv("WRIT_TOOLS_DIR", "")
		_, err := Ensure(t.Context(), nil, Etcd)
		wantError(t, err, "run from a source checkout")
	})
	t.Run("no go command", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := Ensure(t.Context(), nil, Etcd)
		wantError(t, err, "the go command is not in PATH")
	})
	t.Run("no such program", func(t *testing.T) {
		_, err := Ensure(t.Context(), nil, "nginx")
		wantError(t, err, `unknown program "nginx"`)
	})
}

func TestAssetsComeFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Etcd)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	t.Setenv("PATH", "") // nothing needs to be compiled
	if got, err := Ensure(t.Context(), nil, Etcd); err != nil || got != path {
		t.Errorf("got %q, %v, want %q", got, err, path)
	}
}

func TestEveryToolModuleIsPinned(t *testing.T) {
	root, err := sourceDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range catalogue {
		data, err := os.ReadFile(filepath.Join(root, m.name, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range m.programs {
			if !strings.Contains(string(data), p.pkg) {
				t.Errorf("tools/%s/go.mod has no tool line for %s", m.name, p.pkg)
			}
		}
	}
}

func onlyPrograms(t *testing.T, b build) {
	t.Helper()
	partial, err := filepath.Glob(filepath.Join(b.cache, "*.partial"))
	if err != nil || len(partial) > 0 {
		t.Errorf("left behind: %v, %v", partial, err)
	}
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with %q", err, part)
	}
}
