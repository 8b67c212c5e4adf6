// Package fleettest has what only the tests of a fleet need. It ships in no program.
package fleettest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
	"github.com/writ-dev/writ/spoke/enrol"
)

// Register registers a cluster whose API server is played, with the operator's command, and returns what its spoke joins with. Its files
// go into dir.
func Register(ctx context.Context, f *fleet.Fleet, dir string, server enroltest.Server, name, uid string) (*enrol.Join, error) {
	file := filepath.Join(dir, name+".join")
	if err := os.WriteFile(file+".jwks", []byte(server.JWKS()), 0o600); err != nil {
		return nil, err
	}
	if _, err := f.Writ(ctx, "cluster", "register", name, "-f", file, "--jwks", file+".jwks", "--issuer", enroltest.Issuer, "--cluster-uid", uid); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return enrol.ParseJoin(raw)
}
