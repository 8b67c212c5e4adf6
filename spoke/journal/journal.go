// Package journal is what a spoke must never forget: how far its sequence has come, which orders were used, what was started
// and what it has signed.
//
// Every write is synced to disk before it returns, and is all or nothing. An empty journal is useless until Init, which
// enrolment alone calls: a spoke that lost its journal cannot begin again by itself.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/writ-dev/writ/api/refusal"
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
	// ErrUnknown is what is returned for a bundle that was never taken.
	ErrUnknown = errors.New("the journal has no such bundle")
	// ErrFull is wrapped when the disk has no room for another write. Nothing was written.
	ErrFull = errors.New("no room on the journal's disk")
)

// Head is the last bundle taken.
type Head struct {
	Epoch    uint64 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"` // empty before the first bundle of an epoch
}

// Entry is one bundle that was taken.
type Entry struct {
	Epoch        uint64           `json:"epoch"`
	Sequence     uint64           `json:"sequence"`
	BundleID     string           `json:"bundleID"`
	BundleDigest string           `json:"bundleDigest"`
	Previous     string           `json:"previous"`
	OrderID      string           `json:"orderID"`
	OrderEnds    time.Time        `json:"orderEnds"`
	Refusal      *refusal.Refusal `json:"refusal,omitempty"` // the verdict, where it was no
	Bundle       []byte           `json:"bundle"`            // the envelope
}

// state is what is kept of an entry.
type state struct {
	Entry
	ClaimedAt *time.Time `json:"claimedAt,omitempty"`
}

// Claimed is an entry whose execution has been written down as started. Only Claim makes one.
type Claimed struct{ entry Entry }

// Entry is what was claimed.
func (c Claimed) Entry() Entry { return c.entry }

// Watch is a prediction that is being looked for.
type Watch struct {
	BundleID string    `json:"bundleID"`
	Bundle   []byte    `json:"bundle"`
	Until    time.Time `json:"until"`
}

// Journal is the journal of one cluster, in one folder, for one process.
type Journal struct {
	db      *badger.DB
	dir     string
	reserve uint64 // bytes that stay free on the disk
}

// reserveBytes stay free: Badger writes through mapped files, and a mapped page without a block behind it kills the process.
const reserveBytes = 48 << 20

// Open opens the journal in a folder.
func Open(dir string, log *slog.Logger) (*Journal, error) {
	if err := roomFor(dir, reserveBytes); err != nil {
		return nil, err
	}
	options := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(2 << 20).WithNumMemtables(1).
		WithBlockCacheSize(0).WithIndexCacheSize(1 << 20).WithCompression(0).
		WithValueThreshold(1 << 9).WithValueLogFileSize(8 << 20).
		WithNumCompactors(2).WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(3).
		WithMetricsEnabled(false).
		WithLogger(logger{log})
	db, err := badger.Open(options)
	if err != nil {
		if strings.Contains(err.Error(), "Another process is using this Badger database") {
			return nil, fmt.Errorf("journal %s: another process is using it", dir)
		}
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	return &Journal{db: db, dir: dir, reserve: reserveBytes}, nil
}

// Close flushes and closes.
func (j *Journal) Close() error { return j.db.Close() }

// The keys.
const (
	headKey       = "head"
	entryPrefix   = "entry/"   // by bundle ID
	orderPrefix   = "order/"   // used orders, with their end
	openPrefix    = "open/"    // bundles taken and not finished
	receiptPrefix = "receipt/" // signed, not yet acknowledged
	watchPrefix   = "watch/"
	outcomePrefix = "outcome/" // signed, not yet acknowledged
)

// Head is the last bundle taken; ErrUninitialised before Init.
func (j *Journal) Head() (Head, error) {
	var h Head
	found, err := j.read(headKey, &h)
	if err == nil && !found {
		return h, ErrUninitialised
	}
	return h, err
}

// Init begins a journal where an enrolment said that the cluster stands.
func (j *Journal) Init(h Head) error {
	return j.update(func(tx *badger.Txn) error {
		if _, err := tx.Get([]byte(headKey)); err == nil {
			return ErrInitialised
		}
		return put(tx, headKey, h)
	})
}

// Take writes a bundle down and moves the head. The bundle must be the next one, and its order unused: a refused bundle
// uses up no order.
func (j *Journal) Take(e Entry) error {
	return j.update(func(tx *badger.Txn) error {
		var h Head
		found, err := get(tx, headKey, &h)
		if err != nil {
			return err
		}
		if !found {
			return ErrUninitialised
		}
		if e.Epoch != h.Epoch || e.Sequence != h.Sequence+1 || e.Previous != h.Digest {
			return fmt.Errorf("%w: %d/%d after %d/%d", ErrOutOfOrder, e.Epoch, e.Sequence, h.Epoch, h.Sequence)
		}
		if e.Refusal == nil {
			if _, err := tx.Get([]byte(orderPrefix + e.OrderID)); err == nil {
				return ErrOrderUsed
			}
			if err := put(tx, orderPrefix+e.OrderID, e.OrderEnds); err != nil {
				return err
			}
		}
		if err := errors.Join(put(tx, entryPrefix+e.BundleID, state{Entry: e}), put(tx, openPrefix+e.BundleID, e.Sequence)); err != nil {
			return err
		}
		return put(tx, headKey, Head{Epoch: e.Epoch, Sequence: e.Sequence, Digest: e.BundleDigest})
	})
}

// Claim writes down that a bundle's execution starts. It succeeds once; executing accepts nothing but what it returns.
func (j *Journal) Claim(bundleID string, at time.Time) (Claimed, error) {
	var s state
	err := j.update(func(tx *badger.Txn) error {
		found, err := get(tx, entryPrefix+bundleID, &s)
		switch {
		case err != nil:
			return err
		case !found:
			return ErrUnknown
		case s.ClaimedAt != nil || s.Refusal != nil:
			return ErrClaimed
		}
		s.ClaimedAt = &at
		return put(tx, entryPrefix+bundleID, s)
	})
	if err != nil {
		return Claimed{}, err
	}
	return Claimed{entry: s.Entry}, nil
}

// Finish writes the signed receipt down, to be delivered, and what is to be watched for, if anything. The entry is done
// with; that its order was used stays known.
func (j *Journal) Finish(bundleID string, receipt []byte, watch *Watch) error {
	return j.update(func(tx *badger.Txn) error {
		var s state
		found, err := get(tx, entryPrefix+bundleID, &s)
		if err != nil {
			return err
		}
		if !found {
			return ErrUnknown
		}
		if watch != nil {
			if err := put(tx, watchPrefix+bundleID, watch); err != nil {
				return err
			}
		}
		return errors.Join(tx.Set([]byte(receiptPrefix+bundleID), receipt),
			tx.Delete([]byte(entryPrefix+bundleID)), tx.Delete([]byte(openPrefix+bundleID)))
	})
}

// Outcome writes the signed outcome down, to be delivered, and ends the watch.
func (j *Journal) Outcome(bundleID string, outcome []byte) error {
	return j.update(func(tx *badger.Txn) error {
		return errors.Join(tx.Set([]byte(outcomePrefix+bundleID), outcome), tx.Delete([]byte(watchPrefix+bundleID)))
	})
}

// Prune forgets orders that ended before now minus the skew. They cannot be used again: they have expired.
func (j *Journal) Prune(now time.Time, skew time.Duration) error {
	var ended []string
	err := j.each(orderPrefix, func(key string, value []byte) error {
		var ends time.Time
		if err := json.Unmarshal(value, &ends); err != nil {
			return err
		}
		if ends.Add(skew).Before(now) {
			ended = append(ended, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range ended {
		if err := j.update(func(tx *badger.Txn) error { return tx.Delete([]byte(key)) }); err != nil {
			return err
		}
	}
	return nil
}
