package journal

import (
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Lease is a credential that may be live: it is written down with the claim, before anybody asks for it, and forgotten once nothing
// is left of it. It holds no secret.
type Lease struct {
	BundleID  string `json:"bundleID"`
	RequestID string `json:"requestID"`
	Action    string `json:"action"`
	Target    string `json:"target"` // for people
	// ID is the issuer's; empty while it is not known.
	ID    string    `json:"id,omitempty"`
	Since time.Time `json:"since"`
	// Until is when it ends by itself, at the latest.
	Until time.Time `json:"until"`
}

// leasing is what is kept of a lease.
type leasing struct {
	Lease
	Place place `json:"place"`
}

const leasePrefix = "lease/"

// Issued writes down what the issuer calls a bundle's lease. ErrUnknown where the lease has ended.
func (j *Journal) Issued(bundleID, id string) error {
	return j.update(func(tx *badger.Txn) error {
		var l leasing
		if found, err := get(tx, leasePrefix+bundleID, &l); !found || err != nil {
			return orElse(err, ErrUnknown)
		}
		l.ID = id
		return put(tx, leasePrefix+bundleID, l)
	})
}

// Ended forgets a lease of which nothing is left; twice is no error.
func (j *Journal) Ended(bundleID string) error { return j.forget(leasePrefix + bundleID) }

// Leases lists the credentials that may be live, in the order of their bundles.
func (j *Journal) Leases() ([]Lease, error) {
	return list(j, leasePrefix, func(_ *badger.Txn, id string, value []byte) (Lease, place, bool, error) {
		var l leasing
		err := decode(leasePrefix+id, value, &l)
		return l.Lease, l.Place, true, err
	})
}
