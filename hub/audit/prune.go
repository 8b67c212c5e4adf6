package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/writ-dev/writ/api/auditlog"
)

// removeLeftovers removes the files that a killed or failed writer left beyond the log's size. Nobody was told that what they
// hold is on the log.
func (l *Log) removeLeftovers(ctx context.Context, size uint64) error {
	files, err := auditlog.Files(os.DirFS(l.dir))
	if err != nil {
		return fmt.Errorf("the audit log: %w", err)
	}
	for _, f := range files {
		if !f.Leftover(size) {
			continue
		}
		l.log.WarnContext(ctx, "removing what an unfinished write left in the audit log", "file", f.Path, "entries", size)
		if err := os.Remove(filepath.Join(l.dir, filepath.FromSlash(f.Path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the audit log: %w", err)
		}
	}
	return nil
}

// prune removes partial tiles and entry bundles once full ones are under a checkpoint (C2SP tlog-tiles allows it). Tessera
// can do so too, but keeps its progress in a file that nothing else vouches for.
func (l *Log) prune() {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	done := uint64(0) // full bundles whose partial ones are gone
	for {
		select {
		case <-l.closing:
			return
		case <-tick.C:
		}
		var err error
		if done, err = l.pruneFrom(done); err != nil {
			l.log.Warn("removing superseded partial tiles of the audit log", "error", err)
		}
	}
}

func (l *Log) pruneFrom(done uint64) (uint64, error) {
	raw, err := l.Checkpoint()
	if err != nil {
		return done, err
	}
	checkpoint, err := auditlog.ParseCheckpoint(raw, l.key.Verifier)
	if err != nil {
		return done, err
	}
	for full := checkpoint.Size / layout.EntryBundleWidth; done < full; done++ {
		superseded := []string{layout.EntriesPath(done, 0), layout.TilePath(0, done, 0)}
		for level, index := uint64(0), done; index%layout.TileWidth == layout.TileWidth-1; {
			level, index = level+1, index/layout.TileWidth
			superseded = append(superseded, layout.TilePath(level, index, 0))
		}
		for _, name := range superseded {
			if err := os.RemoveAll(filepath.Join(l.dir, filepath.FromSlash(name+".p"))); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}
