package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

// marker is in a data directory while a restore is under way.
const marker = "restoring"

// ErrBroken is what Whole returns for a data directory whose restore did not come to its end.
var ErrBroken = errors.New("a restore into this folder was broken off: empty the folder and restore again")

// Whole returns ErrBroken unless a hub may use the data directory.
func Whole(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, marker)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrBroken)
	}
	return nil
}

// Restore makes a data directory of a backup of this trust domain. The directory must be empty, and stays marked until all is on
// disk. mark is written to the store besides: what the hub must know of having been restored.
func Restore(ctx context.Context, from io.Reader, dir, trustDomain string, mark func(Manifest) []store.Op, log *slog.Logger) (m Manifest, s Summary, err error) {
	if err := empty(dir); err != nil {
		return m, s, err
	}
	if err := write(filepath.Join(dir, marker), nil, 0o600); err != nil {
		return m, s, err
	}
	records, err := badgerstore.Open(filepath.Join(dir, storeDir), log)
	if err != nil {
		return m, s, err
	}
	loading := &loading{store: records}
	m, s, err = read(from, visitor{
		manifest: func(m Manifest) error {
			if m.TrustDomain != trustDomain {
				return fmt.Errorf("%w: it is of the trust domain %s, this hub is of %s", ErrBackup, m.TrustDomain, trustDomain)
			}
			return loading.add(ctx, mark(m)...)
		},
		record: func(key string, value []byte) error { return loading.add(ctx, store.Put(key, value)) },
		file: func(name string, content []byte) error {
			mode := fs.FileMode(0o600)
			if strings.HasPrefix(name, auditDir+"/") || name == "audit.vkey" {
				mode = 0o644
			}
			return write(filepath.Join(dir, filepath.FromSlash(name)), content, mode)
		},
	})
	if err == nil {
		err = loading.commit(ctx)
	}
	if err = errors.Join(err, records.Close()); err != nil {
		return m, s, err
	}
	return m, s, os.Remove(filepath.Join(dir, marker))
}

// empty is an error unless the folder is there and holds nothing, or is not there.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o700)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" }) // a volume's own
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty (%s): a backup is restored into an empty folder only, and never under a running hub", dir, entries[0].Name())
	}
	return err
}

// loading commits many records a few at a time. What was marked stays, whatever the backup has under the same key.
type loading struct {
	store store.Store
	ops   []store.Op
	bytes int
	keys  map[string]bool // that were marked
}

func (l *loading) add(ctx context.Context, ops ...store.Op) error {
	if l.keys == nil { // the marks come first
		l.keys = map[string]bool{}
		for _, op := range ops {
			l.keys[op.Key] = true
		}
		return l.store.Commit(ctx, ops...)
	}
	for _, op := range ops {
		if l.keys[op.Key] {
			continue
		}
		size := len(op.Key) + len(op.Value)
		if len(l.ops) == store.MaxOps || l.bytes+size > store.MaxBatch {
			if err := l.commit(ctx); err != nil {
				return err
			}
		}
		l.ops, l.bytes = append(l.ops, op), l.bytes+size
	}
	return nil
}

func (l *loading) commit(ctx context.Context) error {
	err := l.store.Commit(ctx, l.ops...)
	l.ops, l.bytes = nil, 0
	return err
}

// write writes a file that is on disk when it returns.
func write(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}
