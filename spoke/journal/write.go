package journal

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// update decides and writes in one transaction, synced when it returns; nothing where deciding fails or the disk has no room.
func (j *Journal) update(decide func(*badger.Txn) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	if err := roomFor(j.dir, j.reserve); err != nil {
		return err
	}
	tx := j.db.NewTransaction(true)
	defer tx.Discard()
	if err := decide(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		j.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return j.failed
}

func (j *Journal) forget(keys ...string) error {
	return j.update(func(tx *badger.Txn) error {
		for _, key := range keys {
			if err := tx.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j *Journal) view(see func(*badger.Txn) error) error {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if err := j.usable(); err != nil {
		return err
	}
	return j.db.View(see)
}

// usable is an error when what memory says may not be what the disk says.
func (j *Journal) usable() error {
	if j.db.IsClosed() {
		return ErrClosed
	}
	return j.failed
}
