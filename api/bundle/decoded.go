package bundle

import (
	"context"
	"encoding/json"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/refusal"
)

// Decoded is a bundle read strictly, with its order, and authenticated by nobody.
type Decoded struct {
	Raw           []byte
	Digest        string
	Envelope      *dsse.Envelope
	Bundle        Bundle
	OrderEnvelope *dsse.Envelope
	OrderDigest   string // of the order's payload: what approvers sign
	Order         Order
}

// Decode reads a bundle's envelope and the order in it.
func Decode(raw []byte) (*Decoded, *refusal.Refusal) {
	d := &Decoded{Raw: raw, Digest: Digest(raw)}
	envelope, payload, no := Open(raw, BundleType)
	if no != nil {
		return nil, no
	}
	d.Envelope = envelope
	if err := decode(payload, &d.Bundle); err != nil {
		return nil, refusal.New(step, refusal.Malformed, "bundle: %v", err)
	}
	envelope, payload, no = Open(d.Bundle.Order, OrderType)
	if no != nil {
		return nil, no
	}
	d.OrderEnvelope, d.OrderDigest = envelope, Digest(payload)
	if err := decode(payload, &d.Order); err != nil {
		return nil, refusal.New(step, refusal.Malformed, "order: %v", err)
	}
	if d.Bundle.Format != Format || d.Order.Format != Format {
		return nil, refusal.New(step, refusal.FormatTooOld, "format %d around %d, wanted %d: upgrade the hub or the spoke",
			d.Bundle.Format, d.Order.Format, Format)
	}
	return d, nil
}

// OpenHead reads the envelope of a head.
func OpenHead(raw []byte) (*dsse.Envelope, Head, *refusal.Refusal) { return open[Head](raw, HeadType) }

// OpenReceipt reads the envelope of a receipt.
func OpenReceipt(raw []byte) (*dsse.Envelope, Receipt, *refusal.Refusal) {
	return open[Receipt](raw, ReceiptType)
}

// OpenOutcome reads the envelope of an outcome.
func OpenOutcome(raw []byte) (*dsse.Envelope, Outcome, *refusal.Refusal) {
	return open[Outcome](raw, OutcomeType)
}

// maxWord bounds the envelope of a receipt or an outcome, in bytes: it becomes part of an entry of the audit log.
const maxWord = 32 << 10

func open[T any](raw []byte, payloadType string) (*dsse.Envelope, T, *refusal.Refusal) {
	var value T
	if len(raw) > maxWord {
		return nil, value, refusal.New(step, refusal.TooLarge, "%d bytes are more than the %d allowed of %s", len(raw), maxWord, payloadType)
	}
	envelope, payload, no := Open(raw, payloadType)
	if no != nil {
		return nil, value, no
	}
	if err := decode(payload, &value); err != nil {
		return nil, value, refusal.New(step, refusal.Malformed, "%s: %v", payloadType, err)
	}
	return envelope, value, nil
}

// Wrap puts an order's payload into an envelope without signatures, for the tiers that need none.
func Wrap(order Order) (envelope []byte, digest string, err error) {
	payload, err := json.Marshal(order)
	if err != nil {
		return nil, "", err
	}
	envelope, err = Seal(context.Background(), OrderType, order)
	return envelope, Digest(payload), err
}

// OpenOrder reads the envelope of an order: what it says, and the digest of the bytes that approvers sign.
func OpenOrder(raw []byte) (e *dsse.Envelope, o Order, digest string, no *refusal.Refusal) {
	e, payload, no := Open(raw, OrderType)
	if no != nil {
		return nil, o, "", no
	}
	if err := decode(payload, &o); err != nil {
		return nil, o, "", refusal.New(step, refusal.Malformed, "order: %v", err)
	}
	return e, o, Digest(payload), nil
}
