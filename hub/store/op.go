package store

import (
	"fmt"
	"strings"
)

// The limits of a commit. etcd takes 128 operations and 1.5 MiB a transaction by default and counts the envelope of each
// operation; these stay below, so that a hub can change its backend without its data.
const (
	MaxKey   = 512     // bytes of a key; at least 1
	MaxValue = 1 << 20 // bytes of a value; none is allowed
	MaxOps   = 100     // operations of a commit, checks included
	MaxBatch = 5 << 18 // bytes of keys and values of a commit
)

// reserved begins the keys that Badger keeps for itself.
const reserved = "!badger!"

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
	Value   []byte // of a put; it must not change until Commit returned
	Version uint64 // of a check
}

// Put writes a value.
func Put(key string, value []byte) Op { return Op{Kind: KindPut, Key: key, Value: value} }

// Delete removes a key; an absent key is no error.
func Delete(key string) Op { return Op{Kind: KindDelete, Key: key} }

// Check demands that a key is at a version; 0 demands that it is absent.
func Check(key string, version uint64) Op { return Op{Kind: KindCheck, Key: key, Version: version} }

// Validate checks a commit against the limits, for backends. A key may be written once in a commit: etcd demands it.
func Validate(ops []Op) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("%w: %d operations, at most %d", ErrLimit, len(ops), MaxOps)
	}
	total, written := 0, make(map[string]bool, len(ops))
	for _, op := range ops {
		switch {
		case op.Key == "" || len(op.Key) > MaxKey:
			return fmt.Errorf("%w: a key of %d bytes, 1 to %d are allowed", ErrLimit, len(op.Key), MaxKey)
		case strings.HasPrefix(op.Key, reserved):
			return fmt.Errorf("%w: %q begins like Badger's own keys", ErrLimit, op.Key)
		case len(op.Value) > MaxValue:
			return fmt.Errorf("%w: %d bytes under %q, at most %d", ErrLimit, len(op.Value), op.Key, MaxValue)
		case op.Kind != KindCheck && written[op.Key]:
			return fmt.Errorf("%w: %q is written twice in one commit", ErrLimit, op.Key)
		}
		if op.Kind != KindCheck {
			written[op.Key] = true
		}
		total += len(op.Key) + len(op.Value)
	}
	if total > MaxBatch {
		return fmt.Errorf("%w: %d bytes in all, at most %d", ErrLimit, total, MaxBatch)
	}
	return nil
}
