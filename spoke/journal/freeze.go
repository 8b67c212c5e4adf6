package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/writ-dev/writ/api/bundle"
)

// freezeKey holds what is frozen.
const freezeKey = "freeze"

// ErrThawed is what Freeze returns for a list that is older than the one it has, or another one of the same generation.
var ErrThawed = errors.New("not the newest list of what is frozen")

// frozen is the newest list, and the epoch in which it was heard.
type frozen struct {
	Epoch   uint64         `json:"epoch"`
	Freezes bundle.Freezes `json:"freezes"`
}

// Freeze writes down what is frozen, as a head of this epoch says. A list that is known already is not written again.
func (j *Journal) Freeze(epoch uint64, f bundle.Freezes) error {
	known := false
	err := j.view(func(tx *badger.Txn) (err error) {
		known, err = knows(tx, epoch, f)
		return err
	})
	if known || err != nil {
		return err
	}
	return j.update(func(tx *badger.Txn) error {
		if known, err := knows(tx, epoch, f); known || err != nil {
			return err
		}
		return put(tx, freezeKey, frozen{Epoch: epoch, Freezes: f})
	})
}

// knows reports whether the list is the one that is held. One that must not replace it is ErrThawed.
func knows(tx *badger.Txn, epoch uint64, f bundle.Freezes) (bool, error) {
	h, err := headOf(tx)
	if err != nil {
		return false, err
	}
	var held frozen
	found, err := get(tx, freezeKey, &held)
	switch {
	case err != nil:
		return false, err
	case epoch != h.Epoch:
		return false, fmt.Errorf("%w: of epoch %d in %d", ErrThawed, epoch, h.Epoch)
	case !found || held.Epoch < epoch || held.Freezes.Generation < f.Generation:
		return false, nil
	case held.Freezes.Same(f):
		return true, nil
	}
	return false, fmt.Errorf("%w: generation %d, this cluster holds %d", ErrThawed, f.Generation, held.Freezes.Generation)
}

// Frozen is the newest list of what is frozen; the empty one of generation 0 where none was heard.
func (j *Journal) Frozen() (f bundle.Freezes, err error) {
	err = j.view(func(tx *badger.Txn) error {
		f, err = frozenIn(tx)
		return err
	})
	return f, err
}

func frozenIn(tx *badger.Txn) (bundle.Freezes, error) {
	var held frozen
	_, err := get(tx, freezeKey, &held)
	return held.Freezes, err
}

// ClaimUnless is Claim, unless judge refuses on what is frozen at that very moment: what it returns is returned, and nothing
// was written. The lease that will be asked for is written down with it, nil for none.
func (j *Journal) ClaimUnless(bundleID string, at time.Time, lease *Lease, judge func(bundle.Freezes) error) (Claimed, error) {
	return j.claim(bundleID, at, lease, judge)
}
