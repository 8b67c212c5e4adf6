package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/refusal"
)

// Limits, checked before anything is parsed or verified.
const (
	MaxSize       = 256 << 10 // bytes of an envelope
	MaxSignatures = 8         // of an envelope
	maxDepth      = 24        // of nested objects and arrays
)

// step is the name under which this package refuses.
const step = "decode"

// Open reads an envelope strictly: within the limits, of the payload type wanted, in the one form in which Seal writes it.
// Nothing is authenticated yet.
func Open(raw []byte, payloadType string) (*dsse.Envelope, []byte, *refusal.Refusal) {
	if len(raw) > MaxSize {
		return nil, nil, refusal.New(step, refusal.TooLarge, "%d bytes are more than the %d allowed", len(raw), MaxSize)
	}
	if n := bytes.Count(raw, []byte(`"sig"`)); n > MaxSignatures {
		return nil, nil, refusal.New(step, refusal.TooManySignatures, "%d signatures are more than the %d allowed", n, MaxSignatures)
	}
	var e dsse.Envelope
	if err := decode(raw, &e); err != nil {
		return nil, nil, refusal.New(step, refusal.Malformed, "envelope: %v", err)
	}
	if len(e.Signatures) > MaxSignatures {
		return nil, nil, refusal.New(step, refusal.TooManySignatures, "%d signatures are more than the %d allowed",
			len(e.Signatures), MaxSignatures)
	}
	if e.PayloadType != payloadType {
		return nil, nil, refusal.New(step, refusal.PayloadTypeUnknown, "payload type %q, wanted %q", e.PayloadType, payloadType)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		return nil, nil, refusal.New(step, refusal.Malformed, "payload: %v", err)
	}
	if !canonical(raw, &e, payload) {
		return nil, nil, refusal.New(step, refusal.Malformed, "the envelope is not in canonical form")
	}
	return &e, payload, nil
}

// decode is strict: no unknown, duplicate or case-variant key, no trailing data, no deep nesting.
func decode(raw []byte, into any) error {
	if err := shallow(raw); err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return strict[0]
	}
	return nil
}

// shallow refuses nesting beyond maxDepth before the decoder recurses into it.
func shallow(raw []byte) error {
	tokens, depth := json.NewDecoder(bytes.NewReader(raw)), 0
	for {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
	}
}
