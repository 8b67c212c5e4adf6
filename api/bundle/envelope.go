package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// The payload types, one for each thing that is signed. A signature over one can never be taken for another.
const (
	OrderType   = "application/vnd.writ.order.v1+json"
	BundleType  = "application/vnd.writ.bundle.v1+json"
	HeadType    = "application/vnd.writ.head.v1+json"
	ReceiptType = "application/vnd.writ.receipt.v1+json"
	OutcomeType = "application/vnd.writ.outcome.v1+json"
)

// Signer signs the pre-authentication encoding of an envelope (DSSE v1.0.2, "PAE").
type Signer = dsse.SignerVerifier

// Seal marshals a payload and signs it. Without signers the envelope only carries the payload.
func Seal(ctx context.Context, payloadType string, payload any, signers ...Signer) ([]byte, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", payloadType, err)
	}
	e := &dsse.Envelope{
		PayloadType: payloadType,
		Payload:     base64.StdEncoding.EncodeToString(body),
		Signatures:  []dsse.Signature{},
	}
	for _, signer := range signers {
		sig, err := signer.Sign(ctx, dsse.PAE(payloadType, body))
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", payloadType, err)
		}
		id, err := signer.KeyID()
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", payloadType, err)
		}
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: id, Sig: base64.StdEncoding.EncodeToString(sig)})
	}
	return json.Marshal(e)
}

// canonical reports whether raw is exactly what Seal would have written for these values: no second encoding of the same
// signature, no white space, nothing that a digest would see and a signature would not.
func canonical(raw []byte, e *dsse.Envelope, payload []byte) bool {
	if e.Payload != base64.StdEncoding.EncodeToString(payload) {
		return false
	}
	for _, s := range e.Signatures {
		sig, err := base64.StdEncoding.Strict().DecodeString(s.Sig)
		if err != nil || base64.StdEncoding.EncodeToString(sig) != s.Sig {
			return false
		}
	}
	again, err := json.Marshal(e)
	return err == nil && bytes.Equal(again, raw)
}

// VerifyAll checks that every signature of an envelope is by a different key of those given, that there are at least
// threshold, and that each names the key that made it. It returns the IDs of the keys.
func VerifyAll(ctx context.Context, e *dsse.Envelope, threshold int, keys []dsse.Verifier) ([]string, error) {
	if threshold < 1 || len(keys) < threshold {
		return nil, fmt.Errorf("a threshold of %d cannot be met by %d keys", threshold, len(keys))
	}
	verifier, err := dsse.NewMultiEnvelopeVerifier(threshold, keys...)
	if err != nil {
		return nil, err
	}
	accepted, err := verifier.Verify(ctx, e)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(accepted))
	for i, key := range accepted {
		if len(accepted) != len(e.Signatures) || key.Sig != e.Signatures[i] || key.Sig.KeyID != key.KeyID {
			return nil, fmt.Errorf("a signature is by no key of the role")
		}
		ids = append(ids, key.KeyID)
	}
	return ids, nil
}

// Digest is "sha256:" and the hex digest of the bytes.
func Digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
