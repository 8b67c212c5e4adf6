// Package charts holds the Helm charts writ-hub and writ-spoke.
//
// What they install beyond the pods and what limits them (kinds, rights, admission policies) is made from deploy/hub and
// deploy/spoke by tools/codegen/generate, and is nowhere written twice.
package charts

import (
	"embed"
	"io/fs"
)

// The names of the charts, and of the releases that Writ's documentation installs them as.
const (
	Hub   = "writ-hub"
	Spoke = "writ-spoke"
)

//go:embed all:writ-hub all:writ-spoke
var files embed.FS

// Files returns the files of a chart, or an error where there is none of that name.
func Files(name string) (fs.FS, error) {
	if _, err := fs.Stat(files, name+"/Chart.yaml"); err != nil {
		return nil, err
	}
	return fs.Sub(files, name)
}
