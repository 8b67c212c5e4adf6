package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-dev/writ/internal/world/process"
)

// fixedFlags apply to every program, and make the same source give the same
// binary on every machine.
var fixedFlags = []string{"build", "-trimpath", "-buildvcs=false"}

func compileMissing(ctx context.Context, w io.Writer, builds []build) error {
	total := 0
	for _, b := range builds {
		total += len(b.missing())
	}
	first := 1
	for _, b := range builds {
		missing := b.missing()
		if len(missing) == 0 {
			continue
		}
		bar := progress{w: w, what: label(missing, first, total), seconds: b.estimate(len(missing))}
		if err := b.compile(ctx, &bar); err != nil {
			return err
		}
		first += len(missing)
	}
	return nil
}

// compile makes what is missing of one module, in one go command so that
// shared packages are compiled and linked side by side. Another process that
// wants the same waits for the lock and then finds it done.
func (b build) compile(ctx context.Context, bar *progress) error {
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(b.cache, b.name+".lock"), bar)
	if err != nil {
		return err
	}
	defer unlock()
	missing := b.missing()
	if len(missing) == 0 {
		return nil
	}

	partial := filepath.Join(b.cache, b.name+"-"+b.hash+".partial")
	if err := errors.Join(os.RemoveAll(partial), os.MkdirAll(partial, 0o755)); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	defer os.RemoveAll(partial)
	if err := b.goBuild(ctx, partial, missing, bar); err != nil {
		return err
	}
	for _, p := range missing {
		if err := publish(filepath.Join(partial, p.name), b.path(p)); err != nil {
			return err
		}
	}
	return nil
}

// goBuild leaves each program under its name in the directory partial.
func (b build) goBuild(ctx context.Context, partial string, missing []program, bar *progress) error {
	log := filepath.Join(b.cache, b.name+"-build.log")
	_ = os.Remove(log)
	args := append(append([]string{}, fixedFlags...), b.flags...)
	out := partial + string(filepath.Separator)
	if len(missing) == 1 {
		out = filepath.Join(partial, missing[0].name) // its package may have another name
	}
	args = append(args, "-o", out)
	for _, p := range missing {
		args = append(args, p.pkg)
	}
	child, err := process.Start(process.Spec{
		Name:     "go build",
		Path:     b.goCommand,
		Args:     args,
		Dir:      b.src,
		Env:      []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"},
		Log:      log,
		Children: true,
	})
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	stop := bar.start()
	err = child.Wait(ctx)
	stop(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("tools: compiling %s: %w", b.name, ctx.Err())
	case err != nil:
		return fmt.Errorf("tools: compiling %s: %w", b.name, child.Failure())
	}
	_ = os.Remove(log)
	return nil
}

// publish moves a whole program to its place in one step.
func publish(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	return nil
}

func label(missing []program, first, total int) string {
	names := make([]string, len(missing))
	for i, p := range missing {
		names[i] = p.name
	}
	place := fmt.Sprint(first)
	if last := first + len(missing) - 1; last > first {
		place = fmt.Sprintf("%d-%d", first, last)
	}
	return fmt.Sprintf("compiling %s (%s of %d)", strings.Join(names, ", "), place, total)
}
