// Package badgerdb is what the hub's store and the spoke's journal share about Badger: the guard against a full disk, and what
// it has to say.
package badgerdb

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// RoomFor checks that a disk has a number of bytes free; the error wraps full where it has not. A folder that does not exist
// yet is judged by its parents.
//
// Badger writes through mapped sparse files. When such a page gets no block the kernel ends the process (SIGBUS), where a
// write would have returned an error; so it must not come to that.
func RoomFor(dir string, bytes uint64, full error) error {
	var disk syscall.Statfs_t
	err := syscall.Statfs(dir, &disk)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		return RoomFor(filepath.Dir(dir), bytes, full)
	}
	if err != nil {
		return fmt.Errorf("ask for the room on the disk of %s: %w", dir, err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < bytes {
		return fmt.Errorf("%w: %d MiB free on the disk of %s, %d MiB must stay free", full, free>>20, dir, bytes>>20)
	}
	return nil
}

// Logger passes what Badger has to say of importance to slog.
func Logger(log *slog.Logger) badger.Logger { return logger{log.With("part", "badger")} }

type logger struct{ log *slog.Logger }

func (l logger) Errorf(format string, args ...any)   { l.log.Error(line(format, args)) }
func (l logger) Warningf(format string, args ...any) { l.log.Warn(line(format, args)) }
func (l logger) Infof(format string, args ...any)    { l.log.Debug(line(format, args)) }
func (l logger) Debugf(string, ...any)               {}

func line(format string, args []any) string { return strings.TrimSpace(fmt.Sprintf(format, args...)) }
