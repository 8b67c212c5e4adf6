package journal

import (
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Unclaimed lists the bundles that were taken and neither started nor answered, in the order of their sequence.
func (j *Journal) Unclaimed() ([]Entry, error) {
	return j.entries(func(claimed *time.Time) bool { return claimed == nil })
}

// Started lists the bundles whose execution was started and not answered, in the order of their sequence: after a restart,
// what became of them is unknown.
func (j *Journal) Started() ([]Entry, error) {
	return j.entries(func(claimed *time.Time) bool { return claimed != nil })
}

func (j *Journal) entries(which func(claimed *time.Time) bool) ([]Entry, error) {
	return list(j, entryPrefix, func(tx *badger.Txn, id string, value []byte) (e Entry, at place, ok bool, err error) {
		var s state
		if err := decode(entryPrefix+id, value, &s); err != nil || !which(s.ClaimedAt) {
			return e, at, false, err
		}
		s.Bundle, err = raw(tx, bundlePrefix+id)
		return s.Entry, s.place(), true, err
	})
}

// Watches lists the predictions that are being looked for, in the order of their bundles.
func (j *Journal) Watches() ([]Watch, error) {
	return list(j, watchPrefix, func(tx *badger.Txn, id string, value []byte) (watch Watch, at place, ok bool, err error) {
		var w watching
		if err := decode(watchPrefix+id, value, &w); err != nil {
			return watch, at, false, err
		}
		w.Bundle, err = raw(tx, bundlePrefix+id)
		return w.Watch, w.Place, true, err
	})
}

// Receipts lists the receipts that the hub has not acknowledged, in the order of their bundles.
func (j *Journal) Receipts() ([]Signed, error) { return j.signed(receiptPrefix) }

// Outcomes lists the outcomes that the hub has not acknowledged, in the order of their bundles.
func (j *Journal) Outcomes() ([]Signed, error) { return j.signed(outcomePrefix) }

// Undelivered is how many receipts and outcomes the hub has not acknowledged.
func (j *Journal) Undelivered() (receipts, outcomes int, err error) {
	err = j.view(func(tx *badger.Txn) error {
		receipts, outcomes = count(tx, receiptPrefix), count(tx, outcomePrefix)
		return nil
	})
	return receipts, outcomes, err
}

func count(tx *badger.Txn, prefix string) (n int) {
	it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}

func (j *Journal) signed(prefix string) ([]Signed, error) {
	return list(j, prefix, func(tx *badger.Txn, id string, value []byte) (Signed, place, bool, error) {
		at, envelope, err := splitSigned(prefix+id, value)
		signed := Signed{BundleID: id, Envelope: envelope}
		if kept, lost := raw(tx, keptPrefix+id); lost == nil && prefix == receiptPrefix {
			signed.Artefact = kept
		}
		return signed, at, true, err
	})
}

// list reads what is kept under a prefix, in the order of the bundles' places.
func list[T any](j *Journal, prefix string, read func(tx *badger.Txn, id string, value []byte) (T, place, bool, error)) ([]T, error) {
	type placed struct {
		what T
		at   place
	}
	var found []placed
	err := j.view(func(tx *badger.Txn) error {
		return each(tx, prefix, func(id string, value []byte) error {
			what, at, ok, err := read(tx, id, value)
			if ok && err == nil {
				found = append(found, placed{what, at})
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b placed) int {
		if a.at.before(b.at) {
			return -1
		}
		return 1
	})
	all := make([]T, 0, len(found))
	for _, f := range found {
		all = append(all, f.what)
	}
	return all, nil
}
