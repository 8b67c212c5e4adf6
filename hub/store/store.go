// Package store is the one interface under the hub's state: an ordered key-value store with atomic commits.
//
// The contract, held by every backend and checked by storetest: a commit is all or nothing and durable when it returns; a
// version changes with every write of a key; a check compares the version exactly; scans are in the order of keys. Values
// are copied on the way in and out.
package store

import (
	"context"
	"errors"
	"fmt"
)

// The limits of what is stored. etcd takes 128 operations and 1.5 MiB a transaction by default; these stay below.
const (
	MaxKey   = 512     // bytes
	MaxValue = 1 << 20 // bytes
	MaxOps   = 100     // in a commit
	MaxBatch = 5 << 18 // bytes in a commit
)

var (
	// ErrNotFound is what Get returns for an absent key.
	ErrNotFound = errors.New("not found")
	// ErrConflict is what Commit returns when a check failed: read again and decide again.
	ErrConflict = errors.New("changed meanwhile")
	// ErrLimit is wrapped when a commit is larger than the limits. Nothing was written.
	ErrLimit = errors.New("larger than the store takes")
)

// Item is one key with its value. Version changes with every write; 0 stands for an absent key.
type Item struct {
	Key     string
	Value   []byte
	Version uint64
}

// Store is an ordered key-value store.
type Store interface {
	// Get returns a key's item, or ErrNotFound.
	Get(ctx context.Context, key string) (Item, error)
	// Scan returns up to limit items whose key begins with prefix and is greater than after, in order.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Item, error)
	// Commit applies all operations or none. ErrConflict when a check fails.
	Commit(ctx context.Context, ops ...Op) error
}

// Kind is what an operation does.
type Kind int

// The kinds.
const (
	KindPut Kind = iota
	KindDelete
	KindCheck
)

// Op is one operation of a commit. Make it with Put, Delete or Check.
type Op struct {
	Kind    Kind
	Key     string
	Value   []byte
	Version uint64
}

// Put writes a value.
func Put(key string, value []byte) Op { return Op{Kind: KindPut, Key: key, Value: value} }

// Delete removes a key; an absent key is no error.
func Delete(key string) Op { return Op{Kind: KindDelete, Key: key} }

// Check demands that a key is at a version; 0 demands that it is absent.
func Check(key string, version uint64) Op { return Op{Kind: KindCheck, Key: key, Version: version} }

// Validate checks a commit against the limits, for backends.
func Validate(ops []Op) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("%w: %d operations, at most %d", ErrLimit, len(ops), MaxOps)
	}
	total := 0
	for _, op := range ops {
		if op.Key == "" || len(op.Key) > MaxKey {
			return fmt.Errorf("%w: a key of %d bytes, 1 to %d are allowed", ErrLimit, len(op.Key), MaxKey)
		}
		if len(op.Value) > MaxValue {
			return fmt.Errorf("%w: %d bytes under %q, at most %d", ErrLimit, len(op.Value), op.Key, MaxValue)
		}
		total += len(op.Key) + len(op.Value)
	}
	if total > MaxBatch {
		return fmt.Errorf("%w: %d bytes in all, at most %d", ErrLimit, total, MaxBatch)
	}
	return nil
}
