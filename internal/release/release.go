// Package release says which release of Writ a program is.
package release

import "runtime/debug"

// version is set by the linker: -X github.com/writ-dev/writ/internal/release.version=v0.1.0.
var version string

// Version is the release, or the revision it was built from, or "dev".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
				return "dev-" + setting.Value[:12]
			}
		}
	}
	return "dev"
}
