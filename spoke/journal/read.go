package journal

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Signed is a receipt or an outcome that the hub has not acknowledged.
type Signed struct {
	BundleID string
	Envelope []byte
}

// Unclaimed lists the bundles that were taken and neither started nor answered, in the order of their sequence.
func (j *Journal) Unclaimed() ([]Entry, error) {
	return j.open(func(s state) bool { return s.ClaimedAt == nil })
}

// Started lists the bundles whose execution was started and not answered: after a restart, what became of them is unknown.
func (j *Journal) Started() ([]Entry, error) {
	return j.open(func(s state) bool { return s.ClaimedAt != nil })
}

func (j *Journal) open(which func(state) bool) ([]Entry, error) {
	var list []Entry
	err := j.each(openPrefix, func(key string, _ []byte) error {
		var s state
		found, err := j.read(entryPrefix+strings.TrimPrefix(key, openPrefix), &s)
		if err != nil || !found {
			return fmt.Errorf("journal entry %s: found %v: %w", key, found, err)
		}
		if which(s) {
			list = append(list, s.Entry)
		}
		return nil
	})
	sortBySequence(list)
	return list, err
}

// Watches lists the predictions that are being looked for.
func (j *Journal) Watches() ([]Watch, error) {
	var list []Watch
	err := j.each(watchPrefix, func(_ string, value []byte) error {
		var w Watch
		if err := json.Unmarshal(value, &w); err != nil {
			return err
		}
		list = append(list, w)
		return nil
	})
	return list, err
}

// Receipts lists the receipts that the hub has not acknowledged.
func (j *Journal) Receipts() ([]Signed, error) { return j.signed(receiptPrefix) }

// Outcomes lists the outcomes that the hub has not acknowledged.
func (j *Journal) Outcomes() ([]Signed, error) { return j.signed(outcomePrefix) }

func (j *Journal) signed(prefix string) ([]Signed, error) {
	var list []Signed
	err := j.each(prefix, func(key string, value []byte) error {
		list = append(list, Signed{BundleID: strings.TrimPrefix(key, prefix), Envelope: append([]byte(nil), value...)})
		return nil
	})
	return list, err
}

// ReceiptDelivered forgets a receipt that the hub has acknowledged.
func (j *Journal) ReceiptDelivered(bundleID string) error { return j.forget(receiptPrefix + bundleID) }

// OutcomeDelivered forgets an outcome that the hub has acknowledged.
func (j *Journal) OutcomeDelivered(bundleID string) error { return j.forget(outcomePrefix + bundleID) }

func (j *Journal) forget(key string) error {
	return j.update(func(tx *badger.Txn) error { return tx.Delete([]byte(key)) })
}

func (j *Journal) read(key string, into any) (found bool, err error) {
	err = j.db.View(func(tx *badger.Txn) error {
		found, err = get(tx, key, into)
		return err
	})
	return found, err
}

func (j *Journal) each(prefix string, visit func(key string, value []byte) error) error {
	return j.db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix), PrefetchValues: true, PrefetchSize: 16})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := it.Item().Value(func(value []byte) error { return visit(string(it.Item().Key()), value) }); err != nil {
				return err
			}
		}
		return nil
	})
}
