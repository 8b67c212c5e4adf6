package auditlog

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/bundle"
)

// statement is what a spoke signed, as far as the log's own checks need it: a receipt or an outcome.
type statement struct {
	envelope     *dsse.Envelope
	cluster      string
	requestID    string
	bundleID     string
	bundleDigest string // of receipts only
	orderDigest  string
	sequence     uint64 // of receipts only
	result       string
}

// openReceipt reads the envelope of a receipt entry. Nothing is authenticated.
func openReceipt(e Entry) (statement, error) {
	envelope, r, no := bundle.OpenReceipt(e.Receipt.Envelope)
	if no != nil {
		return statement{}, errors.New(no.Detail)
	}
	s := statement{
		envelope: envelope, cluster: r.Cluster, requestID: r.RequestID, bundleID: r.BundleID, bundleDigest: r.BundleDigest,
		orderDigest: r.OrderDigest, sequence: r.Sequence, result: string(r.Result),
	}
	if s.bundleDigest != e.Receipt.BundleDigest || s.sequence != e.Receipt.Sequence {
		return s, errors.New("the signed receipt is about another bundle than its entry")
	}
	return s, s.about(e)
}

// openOutcome reads the envelope of an outcome entry. Nothing is authenticated.
func openOutcome(e Entry) (statement, error) {
	envelope, o, no := bundle.OpenOutcome(e.Outcome.Envelope)
	if no != nil {
		return statement{}, errors.New(no.Detail)
	}
	s := statement{
		envelope: envelope, cluster: o.Cluster, requestID: o.RequestID, bundleID: o.BundleID, orderDigest: o.OrderDigest, result: o.Result,
	}
	return s, s.about(e)
}

// about checks that a statement is about the cluster and the request that its entry names.
func (s statement) about(e Entry) error {
	switch {
	case s.cluster != e.Cluster:
		return fmt.Errorf("the signed %s is of cluster %q, its entry of %q", e.Type, s.cluster, e.Cluster)
	case s.requestID != e.Request.UID:
		return fmt.Errorf("the signed %s is about request %q, its entry about %q", e.Type, s.requestID, e.Request.UID)
	case s.orderDigest == "" || s.bundleID == "":
		return fmt.Errorf("the signed %s names no order or no bundle", e.Type)
	case len(s.envelope.Signatures) != 1:
		return fmt.Errorf("the %s has %d signatures, wanted the spoke's one", e.Type, len(s.envelope.Signatures))
	}
	return nil
}

// signedBy checks the one signature of a statement by a key of an enrolment (PKIX PEM).
func (s statement) signedBy(ctx context.Context, receiptKeyPEM string) error {
	key, err := receiptKey(s.envelope.Signatures[0].KeyID, receiptKeyPEM)
	if err != nil {
		return err
	}
	_, err = bundle.VerifyAll(ctx, s.envelope, 1, []dsse.Verifier{key})
	return err
}

// receiptKey reads the key of an enrolment: exactly one PEM block, an Ed25519 public key.
func receiptKey(id, text string) (*bundle.Key, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		return nil, errors.New("the receipt key is not one PEM block PUBLIC KEY")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the receipt key: %w", err)
	}
	return bundle.NewVerifier(id, public)
}
