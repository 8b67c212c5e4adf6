// Package badgerstore is the hub's embedded store: one Badger database, in one folder, for one process.
//
// Every commit is synced to disk before it returns. Concurrent commits share their syncs.
package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/writ-dev/writ/hub/store"
)

// collectEvery is how often the value log is looked at for what no key names any more.
const collectEvery = 10 * time.Minute

// Store implements store.Store on Badger.
type Store struct{ db *badger.DB }

// Open opens the database in a folder, and makes it where there is none.
func Open(dir string, log *slog.Logger) (*Store, error) {
	options := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(8 << 20).WithNumMemtables(2).
		WithBlockCacheSize(0).WithIndexCacheSize(4 << 20).WithCompression(0).
		WithValueThreshold(1 << 10).WithValueLogFileSize(64 << 20).
		WithNumCompactors(2).WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).
		WithMetricsEnabled(false).
		WithLogger(logger{log})
	db, err := badger.Open(options)
	if err != nil {
		if strings.Contains(err.Error(), "Another process is using this Badger database") {
			return nil, fmt.Errorf("store %s: another process is using it", dir)
		}
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	return &Store{db: db}, nil
}

// Close flushes and closes.
func (s *Store) Close() error { return s.db.Close() }

// Run collects garbage until the context ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(collectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			for s.db.RunValueLogGC(0.5) == nil {
			}
		}
	}
}

// Get implements store.Store.
func (s *Store) Get(_ context.Context, key string) (item store.Item, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		found, err := tx.Get([]byte(key))
		if err != nil {
			return err
		}
		item, err = read(found)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return item, store.ErrNotFound
	}
	return item, err
}

// Scan implements store.Store.
func (s *Store) Scan(_ context.Context, prefix, after string, limit int) (items []store.Item, err error) {
	err = s.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix), PrefetchValues: true, PrefetchSize: min(max(limit, 1), 100)})
		defer it.Close()
		for it.Seek([]byte(max(prefix, after))); it.Valid() && len(items) < limit; it.Next() {
			if string(it.Item().Key()) <= after {
				continue
			}
			item, err := read(it.Item())
			if err != nil {
				return err
			}
			items = append(items, item)
		}
		return nil
	})
	return items, err
}

func read(found *badger.Item) (store.Item, error) {
	value, err := found.ValueCopy(nil)
	return store.Item{Key: string(found.Key()), Value: value, Version: found.Version()}, err
}

// Commit implements store.Store. A check reads the key inside the transaction, so that Badger itself refuses the commit if
// the key is written by another one meanwhile.
func (s *Store) Commit(_ context.Context, ops ...store.Op) error {
	if err := store.Validate(ops); err != nil {
		return err
	}
	err := s.db.Update(func(tx *badger.Txn) error {
		for _, op := range ops {
			if op.Kind == store.KindCheck {
				if err := check(tx, op); err != nil {
					return err
				}
			}
		}
		for _, op := range ops {
			if err := write(tx, op); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, badger.ErrConflict) {
		return store.ErrConflict
	}
	return err
}

func check(tx *badger.Txn, op store.Op) error {
	var version uint64
	found, err := tx.Get([]byte(op.Key))
	switch {
	case err == nil:
		version = found.Version()
	case !errors.Is(err, badger.ErrKeyNotFound):
		return err
	}
	if version != op.Version {
		return store.ErrConflict
	}
	return nil
}

func write(tx *badger.Txn, op store.Op) error {
	switch op.Kind {
	case store.KindPut:
		return tx.Set([]byte(op.Key), append([]byte(nil), op.Value...))
	case store.KindDelete:
		return tx.Delete([]byte(op.Key))
	}
	return nil
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
