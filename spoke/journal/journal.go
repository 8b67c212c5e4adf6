// Package journal is what a spoke must never forget: how far its sequence has come, which orders were used, what was started
// and what it has signed.
//
// Every write is synced to disk before it returns, and is all or nothing. After a refusal or ErrFull nothing was written and
// the journal is as before; after a failed write it refuses all else until it is opened again, for only the disk knows. An
// empty journal is useless until Init, which enrolment alone calls: a spoke that lost its journal cannot begin again by itself.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

var (
	// ErrUninitialised is what Head returns for a journal that no enrolment has begun.
	ErrUninitialised = errors.New("the journal is empty: enrol this cluster again")
	// ErrInitialised is what Init returns for a journal that has begun.
	ErrInitialised = errors.New("the journal has begun")
	// ErrOutOfOrder is what Take returns for anything but the next bundle.
	ErrOutOfOrder = errors.New("not the next bundle")
	// ErrOrderUsed is what Take returns for an order that was taken before.
	ErrOrderUsed = errors.New("the order was used before")
	// ErrClaimed is what Claim returns the second time.
	ErrClaimed = errors.New("the bundle was claimed before")
	// ErrRefused is what Claim returns for a bundle that was taken with a refusal.
	ErrRefused = errors.New("the bundle was refused")
	// ErrUnknown is what is returned for a bundle that is not in the state asked for, or not in the journal.
	ErrUnknown = errors.New("the journal has no such bundle")
	// ErrTooLarge is wrapped for an envelope above MaxEnvelope.
	ErrTooLarge = errors.New("larger than the journal takes")
	// ErrFull is wrapped when the disk has no room for another write. It writes again once there is room.
	ErrFull = errors.New("no room on the journal's disk")
	// ErrFailed is wrapped when a write did not reach the disk, and from then on: open the journal again.
	ErrFailed = errors.New("the journal failed to write and must be opened again")
	// ErrClosed is what everything returns after Close.
	ErrClosed = errors.New("the journal is closed")
)

// MaxEnvelope is the largest bundle, receipt or outcome, in bytes. It is what api/bundle lets in.
const MaxEnvelope = 256 << 10

// Journal is the journal of one cluster, in one folder, for one process. It is safe for concurrent use.
type Journal struct {
	db      *badger.DB
	dir     string
	reserve uint64 // bytes that stay free on the disk

	mu     sync.RWMutex // held for writing by the one who writes
	failed error
}

// Open opens the journal in a folder, and makes it where there is none.
func Open(dir string, log *slog.Logger) (*Journal, error) { return open(dir, log, reserve) }

func open(dir string, log *slog.Logger, reserve uint64) (*Journal, error) {
	if err := roomFor(dir, reserve); err != nil {
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	db, err := badger.Open(settings(dir, log))
	if err != nil {
		if strings.Contains(err.Error(), "Another process is using this Badger database") {
			return nil, fmt.Errorf("journal %s: another process is using it", dir)
		}
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	return &Journal{db: db, dir: dir, reserve: reserve}, nil
}

// Close waits for the write under way, flushes and closes. Twice is no error. On a full disk it does nothing and says ErrFull:
// flushing needs room, and the journal is whole without it.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db.IsClosed() {
		return nil
	}
	if err := roomFor(j.dir, min(j.reserve, toFlush)); err != nil {
		return fmt.Errorf("journal %s is left as it is: %w", j.dir, err)
	}
	return j.db.Close()
}
