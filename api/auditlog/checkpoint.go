package auditlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// rootSize is the length of a root hash, in bytes (RFC 6962 §2.1, SHA-256).
const rootSize = 32

// Checkpoint is the log's signed word on its size and content (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   []byte `json:"root"`
	Raw    []byte `json:"-"` // as signed: what to keep for the next time
}

// ParseCheckpoint verifies a checkpoint and reads it. It accepts one signature, by the key given, and no byte that this
// signature does not cover: base64 has spare bits, and a checkpoint that uses them is refused.
func ParseCheckpoint(raw []byte, verifier note.Verifier) (Checkpoint, error) {
	signed, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by %s+%08x: %w", verifier.Name(), verifier.KeyHash(), err)
	}
	if len(signed.Sigs) != 1 || len(signed.UnverifiedSigs) != 0 {
		return Checkpoint{}, errors.New("the checkpoint has other signatures than the log's one")
	}
	var parsed log.Checkpoint
	rest, err := parsed.Unmarshal([]byte(signed.Text))
	if err != nil {
		return Checkpoint{}, err
	}
	if len(rest) != 0 || len(parsed.Hash) != rootSize || parsed.Origin != verifier.Name() {
		return Checkpoint{}, errors.New("the checkpoint has another form than the log writes, or another origin than its key")
	}
	sig := signed.Sigs[0]
	value, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint's signature: %w", err)
	}
	again := fmt.Sprintf("%s\n— %s %s\n", parsed.Marshal(), sig.Name, base64.StdEncoding.EncodeToString(value))
	if !bytes.Equal([]byte(again), raw) {
		return Checkpoint{}, errors.New("the checkpoint is not in the form in which the log writes it")
	}
	return Checkpoint{Origin: parsed.Origin, Size: parsed.Size, Root: parsed.Hash, Raw: bytes.Clone(raw)}, nil
}
