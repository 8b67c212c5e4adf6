package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/writ-dev/writ/hub/store"
)

const (
	queued   = 256          // commits that may wait for the writer; more wait in Commit
	maxBytes = memTable / 8 // of a batch; below the 15 % that Badger takes
)

// commit is one call of Commit on its way to the writer, which answers once.
type commit struct {
	ops   []store.Op
	bytes int
	done  chan error
}

// Commit implements store.Store. Once it is with the writer the context can't call it back, so that the caller always
// learns what became of it.
func (s *Store) Commit(ctx context.Context, ops ...store.Op) error {
	if err := store.Validate(ops); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil || len(ops) == 0 {
		return err
	}
	c := &commit{ops: ops, done: make(chan error, 1)}
	for _, op := range ops {
		c.bytes += len(op.Key) + len(op.Value) + overhead
	}
	select {
	case s.queue <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return store.ErrClosed
	}
	select {
	case err := <-c.done:
		return err
	case <-s.written: // the writer may have answered last
		select {
		case err := <-c.done:
			return err
		default:
			return store.ErrClosed
		}
	}
}

// overhead is what Badger adds to an operation, in bytes, at most.
const overhead = 64

// write commits batches until the store is closed. After a failed write it writes no more: Badger's memory may then be
// ahead of its disk.
func (s *Store) write() {
	defer close(s.written)
	var next *commit
	var failed error
	for {
		if next == nil {
			select {
			case next = <-s.queue:
			case <-s.closing:
				return
			}
		}
		refuse := failed
		if refuse == nil {
			refuse = roomFor(s.dir, reserve)
		}
		if refuse != nil {
			next.done <- refuse
			next = nil
			continue
		}
		if next, failed = s.writeBatch(next); failed != nil {
			s.failed.Store(&failed)
		}
	}
}

// writeBatch commits what waits in one transaction, with one sync. It returns the commit that has to wait for the next
// batch, if any, and the error of a failed write.
func (s *Store) writeBatch(first *commit) (next *commit, failed error) {
	b := batch{tx: s.db.NewTransaction(true), written: map[string]bool{}}
	defer b.tx.Discard()
	for next = first; next != nil && b.takes(next); next = s.waiting() {
		if err := b.judge(next); err != nil {
			next.done <- err
			continue
		}
		if err := b.add(next); err != nil {
			b.answer(err) // nothing of the batch is written
			return nil, nil
		}
	}
	if err := b.tx.Commit(); err != nil {
		failed = fmt.Errorf("the store %s failed to write and must be opened again: %w", s.dir, err)
	}
	b.answer(failed)
	return next, failed
}

func (s *Store) waiting() *commit {
	select {
	case c := <-s.queue:
		return c
	default:
		return nil
	}
}

// batch is a transaction of many commits.
type batch struct {
	tx      *badger.Txn
	commits []*commit
	written map[string]bool
	bytes   int
}

// takes says whether a commit fits. One that checks a key which the batch writes has to wait: that key's version is known
// only after the batch.
func (b *batch) takes(c *commit) bool {
	fits := len(b.commits) == 0 || b.bytes+c.bytes <= maxBytes
	return fits && !slices.ContainsFunc(c.ops, func(op store.Op) bool { return op.Kind == store.KindCheck && b.written[op.Key] })
}

// judge checks what a commit demands.
func (b *batch) judge(c *commit) error {
	for _, op := range c.ops {
		if op.Kind != store.KindCheck {
			continue
		}
		version, err := b.version(op.Key)
		if err != nil {
			return fmt.Errorf("check %q: %w", op.Key, err)
		}
		if version != op.Version {
			return store.ErrConflict
		}
	}
	return nil
}

// version is a key's version before the batch.
func (b *batch) version(key string) (uint64, error) {
	found, err := b.tx.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return found.Version(), nil
}

// add puts a commit's writes into the transaction, which is of no use after an error.
func (b *batch) add(c *commit) (err error) {
	b.commits, b.bytes = append(b.commits, c), b.bytes+c.bytes
	for _, op := range c.ops {
		switch op.Kind {
		case store.KindPut:
			err = b.tx.Set([]byte(op.Key), op.Value)
		case store.KindDelete:
			err = b.tx.Delete([]byte(op.Key))
		case store.KindCheck:
			continue
		}
		if err != nil {
			return fmt.Errorf("write %q: %w", op.Key, err)
		}
		b.written[op.Key] = true
	}
	return nil
}

func (b *batch) answer(err error) {
	for _, c := range b.commits {
		c.done <- err
	}
}
