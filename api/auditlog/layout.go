package auditlog

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
)

// The files of a log's folder besides tiles and entry bundles.
const (
	CheckpointFile = layout.CheckpointPath
	StateDir       = ".state"
	TreeStateFile  = StateDir + "/treeState"
	VersionFile    = StateDir + "/version"
)

// stateVersion is the only content of VersionFile.
const stateVersion = "1"

// lockFiles are the writer's empty lock files.
var lockFiles = map[string]bool{
	StateDir + "/treeState.lock": true, StateDir + "/publish.lock": true, StateDir + "/gcState.lock": true,
}

// Kind says what a file of the folder is.
type Kind string

// The kinds.
const (
	KindCheckpoint Kind = "checkpoint"
	KindState      Kind = "state"
	KindLock       Kind = "lock"
	KindTile       Kind = "tile"
	KindBundle     Kind = "entry bundle"
	KindTemporary  Kind = "temporary" // one of the above, being written: its name is followed by digits
	KindUnknown    Kind = "unknown"
)

// File is one file of a log's folder.
type File struct {
	Path    string // relative to the folder, with slashes
	Kind    Kind
	Level   uint64 // of tiles
	Index   uint64 // of tiles and bundles
	Partial uint8  // how many hashes or entries; 0 means a full one
}

// width is how many hashes or entries a tile or bundle holds.
func (f File) width() uint64 {
	if f.Partial == 0 {
		return layout.TileWidth
	}
	return uint64(f.Partial)
}

// Needs is the smallest size of a tree in which this tile or bundle can exist.
func (f File) Needs() uint64 {
	if f.Index>>(55-min(f.Level*layout.TileHeight, 55)) > 0 {
		return math.MaxUint64 // more than any log has
	}
	return (f.Index*layout.TileWidth + f.width()) << (f.Level * layout.TileHeight)
}

// Leftover reports whether this is what a writer left behind that was killed or failed: a file not finished, or one of
// entries that the log of this size does not have. Nobody was ever told that those entries were in the log.
func (f File) Leftover(size uint64) bool {
	switch f.Kind {
	case KindTemporary:
		return true
	case KindTile, KindBundle:
		return f.Needs() > size
	}
	return false
}

// Classify says what a file is by its path, relative to the folder.
func Classify(name string) File {
	if f, ok := regular(name); ok {
		return f
	}
	if stem := strings.TrimRight(name, "0123456789"); stem != name {
		for end := len(name) - 1; end >= len(stem); end-- {
			if _, ok := regular(name[:end]); ok {
				return File{Path: name, Kind: KindTemporary}
			}
		}
	}
	return File{Path: name, Kind: KindUnknown}
}

func regular(name string) (File, bool) {
	f := File{Path: name}
	switch {
	case name == CheckpointFile:
		f.Kind = KindCheckpoint
		return f, true
	case name == TreeStateFile || name == VersionFile:
		f.Kind = KindState
		return f, true
	case lockFiles[name]:
		f.Kind = KindLock
		return f, true
	}
	parts := strings.SplitN(name, "/", 3)
	if len(parts) != 3 || parts[0] != "tile" {
		return f, false
	}
	index, partial, err := layout.ParseTileIndexPartial(parts[2])
	if err != nil {
		return f, false
	}
	f.Index, f.Partial = index, partial
	if parts[1] == "entries" {
		f.Kind = KindBundle
		return f, layout.EntriesPath(index, partial) == name
	}
	level, err := strconv.ParseUint(parts[1], 10, 8)
	if err != nil || level > 7 {
		return f, false
	}
	f.Kind, f.Level = KindTile, level
	return f, layout.TilePath(level, index, partial) == name
}

// Files lists a log's folder.
func Files(folder fs.FS) ([]File, error) {
	var files []File
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name != "." && isGone(err):
			return nil // removed while we looked
		case err != nil:
			return err
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			files = append(files, File{Path: path.Clean(name), Kind: KindUnknown})
			return nil
		}
		files = append(files, Classify(name))
		return nil
	})
	return files, err
}
