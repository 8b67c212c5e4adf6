package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

func put(tx *badger.Txn, key string, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("journal key %s: %w", key, err)
	}
	return tx.Set([]byte(key), encoded)
}

func get(tx *badger.Txn, key string, into any) (found bool, err error) {
	value, err := raw(tx, key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err == nil {
		err = decode(key, value, into)
	}
	return err == nil, err
}

func raw(tx *badger.Txn, key string) ([]byte, error) {
	item, err := tx.Get([]byte(key))
	if err != nil {
		return nil, fmt.Errorf("journal key %s: %w", key, err)
	}
	return item.ValueCopy(nil)
}

func decode(key string, value []byte, into any) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("journal key %s: %w", key, err)
	}
	return nil
}

func stateOf(tx *badger.Txn, bundleID string) (s state, err error) {
	if found, err := get(tx, entryPrefix+bundleID, &s); !found || err != nil {
		return s, orElse(err, ErrUnknown)
	}
	s.Bundle, err = raw(tx, bundlePrefix+bundleID)
	return s, err
}

// each visits what is kept under a prefix. A value is the visitor's to keep.
func each(tx *badger.Txn, prefix string, visit func(id string, value []byte) error) error {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("journal key %s: %w", it.Item().Key(), err)
		}
		if err := visit(strings.TrimPrefix(string(it.Item().Key()), prefix), value); err != nil {
			return err
		}
	}
	return nil
}

// placeSize is the length of what stands before a signed envelope: epoch and sequence, so that the oldest is sent first.
const placeSize = 16

func putSigned(tx *badger.Txn, key string, at place, envelope []byte) error {
	value := make([]byte, placeSize, placeSize+len(envelope))
	binary.BigEndian.PutUint64(value, at.Epoch)
	binary.BigEndian.PutUint64(value[8:], at.Sequence)
	return tx.Set([]byte(key), append(value, envelope...))
}

func splitSigned(key string, value []byte) (at place, envelope []byte, err error) {
	if len(value) < placeSize {
		return at, nil, fmt.Errorf("journal key %s: %d bytes are too few", key, len(value))
	}
	at = place{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])}
	return at, value[placeSize:], nil
}

// orElse is the fault, or the refusal where there was no fault.
func orElse(fault, refusal error) error {
	if fault != nil {
		return fault
	}
	return refusal
}

// all is the first of a row of errors.
func all(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
