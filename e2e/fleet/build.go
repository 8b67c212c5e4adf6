package fleet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Build compiles writ, writ-hub and writ-spoke into a folder, as they are in the tree now.
func Build(ctx context.Context, dir string, flags ...string) error {
	const programs = "github.com/writ-dev/writ/cmd/"
	args := slices.Concat([]string{"build", "-o", dir, "-ldflags", "-s -w"}, flags, []string{programs + "writ", programs + "writ-hub", programs + "writ-spoke"})
	command := exec.CommandContext(ctx, "go", args...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}

// Main builds the programs into a folder of their own, tells of it, has the tests run, and returns the exit status.
func Main(tests interface{ Run() int }, built func(dir string)) int {
	dir, err := os.MkdirTemp("", "writ-e2e-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	log.SetLogger(logr.Discard())
	built(dir)
	return tests.Run()
}
