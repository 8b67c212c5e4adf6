package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// update writes in one transaction, synced; nothing where the disk has no room for it.
func (j *Journal) update(write func(*badger.Txn) error) error {
	if err := roomFor(j.dir, j.reserve); err != nil {
		return err
	}
	err := j.db.Update(write)
	for errors.Is(err, badger.ErrConflict) {
		err = j.db.Update(write) // another write of the same key was first: decide again on what it left
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// roomFor checks that a disk has a number of bytes free. A folder that does not exist yet is judged by its parents.
func roomFor(dir string, bytes uint64) error {
	var fs syscall.Statfs_t
	for {
		err := syscall.Statfs(dir, &fs)
		if err == nil {
			break
		}
		cut := strings.LastIndexByte(strings.TrimRight(dir, "/"), '/')
		if !errors.Is(err, syscall.ENOENT) || cut < 0 {
			return fmt.Errorf("journal %s: %w", dir, err)
		}
		dir = dir[:cut+1]
	}
	free := fs.Bavail * uint64(fs.Bsize)
	if free < bytes {
		return fmt.Errorf("%w: %d MiB free under %s, %d MiB must stay free: make room", ErrFull, free>>20, dir, bytes>>20)
	}
	return nil
}

func put(tx *badger.Txn, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return tx.Set([]byte(key), raw)
}

func get(tx *badger.Txn, key string, into any) (bool, error) {
	item, err := tx.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, item.Value(func(raw []byte) error { return json.Unmarshal(raw, into) })
}

func sortBySequence(list []Entry) {
	sort.Slice(list, func(a, b int) bool { return list[a].Sequence < list[b].Sequence })
}

// logger passes what Badger has to say of importance to slog.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(format string, args ...any) { l.log.Error(line(format, args), "part", "badger") }
func (l logger) Warningf(format string, args ...any) {
	l.log.Warn(line(format, args), "part", "badger")
}
func (l logger) Infof(format string, args ...any) { l.log.Debug(line(format, args), "part", "badger") }
func (l logger) Debugf(string, ...any)            {}

func line(format string, args []any) string { return strings.TrimSpace(fmt.Sprintf(format, args...)) }
