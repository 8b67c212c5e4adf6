// Package store is the one interface under the hub's state: an ordered key-value store with atomic commits.
//
// The contract, held by every backend and checked by storetest:
//   - a commit is all or nothing, and durable when it returns;
//   - a key's version changes with every write of it, and none comes again while the store is open, deletions included;
//   - a check compares the version exactly: of commits with the same check that write its key, one succeeds;
//   - a read sees every commit that returned before it began, and of a commit all or nothing;
//   - scans are in the byte order of keys;
//   - values are copied on the way in and out: neither side sees the other's later changes;
//   - what is refused was not written. Only an error other than those named here leaves it open whether it was.
//
// It has no leases, no watches and no transactions that read: who decides on what was read checks its version.
package store

import (
	"context"
	"errors"
)

var (
	// ErrNotFound is what Get returns for an absent key.
	ErrNotFound = errors.New("not found")
	// ErrConflict is what Commit returns when a check failed: read again and decide again.
	ErrConflict = errors.New("changed meanwhile")
	// ErrLimit is wrapped when a commit is beyond what every backend takes.
	ErrLimit = errors.New("beyond the store's limits")
	// ErrFull is wrapped when the store has no room for another write. It writes again once there is room.
	ErrFull = errors.New("no room for the store")
	// ErrClosed is what everything returns after Close.
	ErrClosed = errors.New("the store is closed")
)

// Item is one key with its value, the caller's to change. Version is opaque but for 0, which stands for an absent key.
type Item struct {
	Key     string
	Value   []byte
	Version uint64
}

// Store is an ordered key-value store, safe for concurrent use.
type Store interface {
	// Get returns a key's item, or ErrNotFound.
	Get(ctx context.Context, key string) (Item, error)
	// Scan returns up to limit items whose key begins with prefix and is greater than after, in order. A limit below 1
	// returns none. To read on, give the last key as after: pages are each consistent, but not with each other.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Item, error)
	// Commit applies all operations or none: ErrConflict when a check fails, ErrLimit or ErrFull when it is too much. All
	// checks see the state before the commit. Without operations it does nothing.
	Commit(ctx context.Context, ops ...Op) error
}
