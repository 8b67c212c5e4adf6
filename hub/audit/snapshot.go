package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/writ-dev/writ/api/auditlog"
)

// snapshots is how often a snapshot begins anew because the log outgrew it while its end was read.
const snapshots = 20

// piece is one file of the log.
type piece struct {
	name    string // relative to the log's folder, with slashes
	content []byte
}

// Snapshot visits the files of the log as it stood at one moment, while it may be written on; what is full never changes, so
// nobody waits for it. The folder that holds them is a whole log. It returns how many entries that log has.
func (l *Log) Snapshot(ctx context.Context, visit func(name string, content []byte) error) (size uint64, err error) {
	var end []piece
	for range snapshots {
		size, end, err = l.growingEnd()
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("the audit log: %w", err)
	}
	for _, name := range fullFiles(size) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		content, err := l.readFile(name)
		if err != nil {
			return 0, fmt.Errorf("the audit log: %w", err)
		}
		if err := visit(name, content); err != nil {
			return 0, err
		}
	}
	for _, p := range end {
		if err := visit(p.name, p.content); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// growingEnd reads what is replaced as the log grows: the checkpoint first, so that it is never ahead of the state, and the
// partial tiles last. fs.ErrNotExist means that the log has outgrown one of these.
func (l *Log) growingEnd() (size uint64, end []piece, err error) {
	for _, name := range []string{auditlog.CheckpointFile, auditlog.VersionFile, auditlog.TreeStateFile} {
		content, err := l.readFile(name)
		if err != nil {
			return 0, nil, err
		}
		end = append(end, piece{name, content})
	}
	if size, _, err = auditlog.ParseTreeState(end[2].content); err != nil {
		return 0, nil, err
	}
	for _, name := range partialFiles(size) {
		content, err := l.readFile(name)
		if err != nil {
			return 0, nil, err
		}
		end = append(end, piece{name, content})
	}
	return size, end, nil
}

func (l *Log) readFile(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(l.dir, filepath.FromSlash(name)))
}

// fullFiles are the tiles and entry bundles of a log of this size that never change any more (C2SP tlog-tiles).
func fullFiles(size uint64) (names []string) {
	for n := range size / layout.EntryBundleWidth {
		names = append(names, layout.EntriesPath(n, 0))
	}
	for level, nodes := uint64(0), size; nodes > 0; level, nodes = level+1, nodes/layout.TileWidth {
		for n := range nodes / layout.TileWidth {
			names = append(names, layout.TilePath(level, n, 0))
		}
	}
	return names
}

// partialFiles are those at its growing end.
func partialFiles(size uint64) (names []string) {
	if rest := size % layout.EntryBundleWidth; rest > 0 {
		names = append(names, layout.EntriesPath(size/layout.EntryBundleWidth, uint8(rest)))
	}
	for level, nodes := uint64(0), size; nodes > 0; level, nodes = level+1, nodes/layout.TileWidth {
		if rest := nodes % layout.TileWidth; rest > 0 {
			names = append(names, layout.TilePath(level, nodes/layout.TileWidth, uint8(rest)))
		}
	}
	return names
}
