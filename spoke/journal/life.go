package journal

import (
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/writ-dev/writ/api/bundle"
)

// Head is the last bundle taken; ErrUninitialised before Init.
func (j *Journal) Head() (h Head, err error) {
	err = j.view(func(tx *badger.Txn) error {
		h, err = headOf(tx)
		return err
	})
	return h, err
}

func headOf(tx *badger.Txn) (h Head, err error) {
	found, err := get(tx, headKey, &h)
	if err == nil && !found {
		err = ErrUninitialised
	}
	return h, err
}

// Init begins a journal where an enrolment said that the cluster stands.
func (j *Journal) Init(h Head) error {
	return j.update(func(tx *badger.Txn) error {
		if found, err := get(tx, headKey, new(Head)); found || err != nil {
			return orElse(err, ErrInitialised)
		}
		return put(tx, headKey, h)
	})
}

// Reset begins a higher epoch at sequence 0, as the root keys have said. What is under way, what is to be delivered and which
// orders were used stays; an epoch that is not higher is ErrOutOfOrder.
func (j *Journal) Reset(epoch uint64) error {
	return j.update(func(tx *badger.Txn) error {
		h, err := headOf(tx)
		if err != nil {
			return err
		}
		if epoch <= h.Epoch {
			return fmt.Errorf("%w: epoch %d after %d", ErrOutOfOrder, epoch, h.Epoch)
		}
		return put(tx, headKey, Head{Epoch: epoch})
	})
}

// Take writes a bundle down and moves the head. The bundle must be the next one, and its order unused: a refused bundle
// uses up no order.
func (j *Journal) Take(e Entry) error {
	if err := small(e.Bundle); err != nil {
		return err
	}
	return j.update(func(tx *badger.Txn) error {
		h, err := headOf(tx)
		if err != nil {
			return err
		}
		if e.Epoch != h.Epoch || e.Sequence != h.Sequence+1 || e.Previous != h.Digest {
			return fmt.Errorf("%w: %d/%d after %d/%d", ErrOutOfOrder, e.Epoch, e.Sequence, h.Epoch, h.Sequence)
		}
		if found, err := get(tx, entryPrefix+e.BundleID, new(state)); found || err != nil {
			return orElse(err, fmt.Errorf("%w: bundle %s was taken before", ErrOutOfOrder, e.BundleID))
		}
		if e.Refusal == nil {
			if err := useOrder(tx, e.OrderID, e.OrderEnds); err != nil {
				return err
			}
		}
		return all(
			put(tx, entryPrefix+e.BundleID, state{Entry: e}),
			tx.Set([]byte(bundlePrefix+e.BundleID), e.Bundle),
			put(tx, headKey, Head{Epoch: e.Epoch, Sequence: e.Sequence, Digest: e.BundleDigest}))
	})
}

func useOrder(tx *badger.Txn, id string, ends time.Time) error {
	if found, err := get(tx, orderPrefix+id, new(time.Time)); found || err != nil {
		return orElse(err, ErrOrderUsed)
	}
	return put(tx, orderPrefix+id, ends)
}

// Claim writes down that a bundle's execution starts. It succeeds once; executing accepts nothing but what it returns. When
// it returns ErrFailed the bundle counts as claimed after a restart, or not: either way it was not executed.
func (j *Journal) Claim(bundleID string, at time.Time) (Claimed, error) {
	return j.claim(bundleID, at, nil, func(bundle.Freezes) error { return nil })
}

func (j *Journal) claim(bundleID string, at time.Time, lease *Lease, judge func(bundle.Freezes) error) (Claimed, error) {
	var s state
	err := j.update(func(tx *badger.Txn) (err error) {
		frozen, err := frozenIn(tx)
		if err != nil {
			return err
		}
		if err := judge(frozen); err != nil {
			return err
		}
		s, err = stateOf(tx, bundleID)
		switch {
		case err != nil:
			return err
		case s.Refusal != nil:
			return ErrRefused
		case s.ClaimedAt != nil:
			return ErrClaimed
		}
		s.ClaimedAt = &at
		if lease != nil {
			if err := put(tx, leasePrefix+bundleID, leasing{*lease, s.place()}); err != nil {
				return err
			}
		}
		return put(tx, entryPrefix+bundleID, s)
	})
	if err != nil {
		return Claimed{}, err
	}
	return Claimed{entry: s.Entry}, nil
}

// Keep writes down what will go with the receipt of a bundle that was claimed, until that is acknowledged. Again, it takes the place
// of what was kept before.
func (j *Journal) Keep(bundleID string, artefact []byte) error {
	if err := small(artefact); err != nil {
		return err
	}
	return j.update(func(tx *badger.Txn) error {
		s, err := stateOf(tx, bundleID)
		if err != nil {
			return err
		}
		if s.ClaimedAt == nil {
			return fmt.Errorf("%w: bundle %s was not claimed", ErrUnknown, bundleID)
		}
		return tx.Set([]byte(keptPrefix+bundleID), artefact)
	})
}

// Finish writes the signed receipt down, to be delivered, and what is to be watched for, if anything: a watch keeps the
// entry's envelope, whatever its own is. The entry is done with: a second time is ErrUnknown. That its order was used stays
// known.
func (j *Journal) Finish(bundleID string, receipt []byte, watch *Watch) error {
	if err := small(receipt); err != nil {
		return err
	}
	return j.update(func(tx *badger.Txn) error {
		s, err := stateOf(tx, bundleID)
		if err != nil {
			return err
		}
		if watch == nil {
			err = tx.Delete([]byte(bundlePrefix + bundleID))
		} else {
			err = put(tx, watchPrefix+bundleID, watching{Watch{BundleID: bundleID, Until: watch.Until}, s.place()})
		}
		return all(err, tx.Delete([]byte(entryPrefix+bundleID)), putSigned(tx, receiptPrefix+bundleID, s.place(), receipt))
	})
}

// Outcome writes the signed outcome down, to be delivered, and ends the watch: a second time is ErrUnknown.
func (j *Journal) Outcome(bundleID string, outcome []byte) error {
	if err := small(outcome); err != nil {
		return err
	}
	return j.update(func(tx *badger.Txn) error {
		var w watching
		if found, err := get(tx, watchPrefix+bundleID, &w); !found || err != nil {
			return orElse(err, ErrUnknown)
		}
		return all(tx.Delete([]byte(watchPrefix+bundleID)), tx.Delete([]byte(bundlePrefix+bundleID)),
			putSigned(tx, outcomePrefix+bundleID, w.Place, outcome))
	})
}

// ReceiptDelivered forgets a receipt that the hub has acknowledged, and what went with it; twice is no error.
func (j *Journal) ReceiptDelivered(bundleID string) error {
	return j.forget(receiptPrefix+bundleID, keptPrefix+bundleID)
}

// OutcomeDelivered forgets an outcome that the hub has acknowledged; twice is no error.
func (j *Journal) OutcomeDelivered(bundleID string) error { return j.forget(outcomePrefix + bundleID) }

// Prune forgets orders that ended before now minus the skew. They cannot be used again: they have expired.
func (j *Journal) Prune(now time.Time, skew time.Duration) error {
	var ended []string
	err := j.view(func(tx *badger.Txn) error {
		return each(tx, orderPrefix, func(id string, value []byte) error {
			var ends time.Time
			if err := decode(orderPrefix+id, value, &ends); err != nil {
				return err
			}
			if ends.Add(skew).Before(now) {
				ended = append(ended, orderPrefix+id)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for len(ended) > 0 {
		n := min(len(ended), pruneAtOnce)
		if err := j.forget(ended[:n]...); err != nil {
			return err
		}
		ended = ended[n:]
	}
	return nil
}

// pruneAtOnce is how many orders one write forgets.
const pruneAtOnce = 500

func small(envelope []byte) error {
	if len(envelope) > MaxEnvelope {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(envelope), MaxEnvelope)
	}
	return nil
}
