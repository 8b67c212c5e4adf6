package journal

import (
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// trustKey holds the trust root, with the former ones, as trust.Root.Keep has it.
const trustKey = "trust-root"

// KeepTrust writes the trust root down. When it returns nil, that is what the spoke begins with after a restart.
func (j *Journal) KeepTrust(kept []byte) error {
	return j.update(func(tx *badger.Txn) error { return tx.Set([]byte(trustKey), kept) })
}

// Trust is what KeepTrust wrote last; nil where it never did.
func (j *Journal) Trust() (kept []byte, err error) {
	err = j.view(func(tx *badger.Txn) error {
		kept, err = raw(tx, trustKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	return kept, err
}
