// Package compile makes the programs that go into images: static, stripped, and the same bytes from the same sources wherever
// they lie.
package compile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// release is where a program keeps the release that it says it is.
const release = "github.com/writ-dev/writ/internal/release.version"

// Program compiles cmd/NAME of the source tree for linux on the architecture, into the folder out, and returns its path.
func Program(ctx context.Context, source, name, version, arch, out string) (string, error) {
	path, err := filepath.Abs(filepath.Join(out, name))
	if err != nil {
		return "", err
	}
	// No build ID and no revision: both may differ between two checkouts of one source. The release is said once, by the linker.
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X "+release+"="+version, "-o", path, "./cmd/"+name)
	command.Dir = source
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling %s: %w\n%s", name, err, said)
	}
	return path, nil
}
