package journal

import (
	"time"

	"github.com/writ-dev/writ/api/refusal"
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
	Previous     string           `json:"previous"` // digest of the bundle before
	OrderID      string           `json:"orderID"`
	OrderEnds    time.Time        `json:"orderEnds"`
	Refusal      *refusal.Refusal `json:"refusal,omitempty"` // the verdict, where it was no
	Bundle       []byte           `json:"-"`                 // the envelope, kept beside
}

// state is what is kept of an entry until it is finished.
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
	Bundle   []byte    `json:"-"` // the envelope, kept beside
	Until    time.Time `json:"until"`
}

// watching is what is kept of a watch.
type watching struct {
	Watch
	Place place `json:"place"`
}

// Signed is a receipt or an outcome that the hub has not acknowledged.
type Signed struct {
	BundleID string
	Envelope []byte
	Artefact []byte // what goes with a receipt; nil for nothing
}

// place is where a bundle stands in the order of all.
type place struct{ Epoch, Sequence uint64 }

func (e Entry) place() place { return place{e.Epoch, e.Sequence} }

func (p place) before(q place) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Sequence < q.Sequence
}

// The keys.
const (
	headKey       = "head"
	entryPrefix   = "entry/"   // by bundle ID: taken and not finished
	bundlePrefix  = "bundle/"  // the envelope of an entry or a watch
	orderPrefix   = "order/"   // used orders, with their end
	receiptPrefix = "receipt/" // signed, not yet acknowledged
	watchPrefix   = "watch/"
	outcomePrefix = "outcome/" // signed, not yet acknowledged
	keptPrefix    = "kept/"    // what goes with a receipt
)
