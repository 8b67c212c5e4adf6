// Package badgerstore is the hub's embedded store: one Badger database, in one folder, for one process.
//
// Every commit is synced to disk before it returns. Concurrent commits share their syncs: while one batch is on its way to
// the disk the next gathers. It never writes to a disk that is nearly full, and never goes on after a failed write: what
// the disk holds then is known only to a new Open.
package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/writ-dev/writ/hub/store"
)

// collectEvery is how often the value log is looked at for what no key names any more.
const collectEvery = 10 * time.Minute

// Store implements store.Store on Badger.
type Store struct {
	db  *badger.DB
	dir string

	using   sync.RWMutex // held for reading by whoever uses db, for writing to close it
	closed  bool
	queue   chan *commit
	closing chan struct{}
	written chan struct{}         // closed when the writer has ended
	failed  atomic.Pointer[error] // of a write, after which only a new Open knows what the disk holds
	close   func() error
}

var _ store.Store = (*Store)(nil)

// Open opens the database in a folder, and makes it where there is none. Close it to end its writer.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if err := roomFor(dir, reserve); err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	db, err := badger.Open(settings(dir, log))
	if err != nil {
		if strings.Contains(err.Error(), "Another process is using this Badger database") {
			return nil, fmt.Errorf("store %s: another process is using it", dir)
		}
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	s := &Store{db: db, dir: dir,
		queue: make(chan *commit, queued), closing: make(chan struct{}), written: make(chan struct{})}
	s.close = sync.OnceValue(s.shut)
	go s.write()
	return s, nil
}

// Close waits for the commits under way, flushes and closes. Those that still wait get store.ErrClosed. On a full disk it
// doesn't flush and says store.ErrFull: flushing needs room, and the store is whole without it; the folder stays locked until
// the process ends. The second call returns what the first did.
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	close(s.closing)
	<-s.written
	s.using.Lock()
	defer s.using.Unlock()
	s.closed = true
	if err := roomFor(s.dir, toFlush); err != nil {
		return fmt.Errorf("the store %s is left as it is: %w", s.dir, err)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the store %s: %w", s.dir, err)
	}
	return nil
}

// Alive is an error once the store can write no more, whatever room there is: open it again.
func (s *Store) Alive(ctx context.Context) error {
	if failed := s.failed.Load(); failed != nil {
		return *failed
	}
	return s.view(ctx, func(*badger.Txn) error { return nil })
}

// Run collects garbage until the context ends or the store is closed.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(collectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case <-ticker.C:
			for roomFor(s.dir, reserve) == nil && s.use(func() error { return s.db.RunValueLogGC(0.5) }) == nil {
			}
		}
	}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (item store.Item, err error) {
	err = s.view(ctx, func(tx *badger.Txn) error {
		found, err := tx.Get([]byte(key))
		if err != nil {
			return err
		}
		item, err = read(found)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, badger.ErrEmptyKey) {
		return item, store.ErrNotFound
	}
	return item, err
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) (items []store.Item, err error) {
	if limit < 1 {
		return nil, nil
	}
	err = s.view(ctx, func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix), PrefetchValues: limit > 1, PrefetchSize: min(limit, prefetch)})
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

// Export visits every key and its value as of one moment, in order, while others go on writing. Neither is the visitor's to
// keep.
func (s *Store) Export(ctx context.Context, visit func(key string, value []byte) error) error {
	return s.view(ctx, func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: prefetch})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			err := ctx.Err()
			if err == nil {
				err = it.Item().Value(func(value []byte) error { return visit(string(it.Item().Key()), value) })
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// prefetch is how many values a scan reads ahead.
const prefetch = 16

func (s *Store) view(ctx context.Context, see func(*badger.Txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.use(func() error { return s.db.View(see) })
}

// use keeps the database open while it is used.
func (s *Store) use(f func() error) error {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	return f()
}

func read(found *badger.Item) (store.Item, error) {
	value, err := found.ValueCopy(nil)
	return store.Item{Key: string(found.Key()), Value: value, Version: found.Version()}, err
}
