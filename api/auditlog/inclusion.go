package auditlog

import (
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// Inclusion proves that an entry is in the log (RFC 6962 §2.1.1), to whoever has the log's key.
type Inclusion struct {
	Index      uint64   `json:"index"`
	Hashes     [][]byte `json:"hashes"`
	Checkpoint []byte   `json:"checkpoint"` // signed, and of a log that has the entry
}

// Verify checks the proof for the bytes of an entry.
func (p Inclusion) Verify(raw []byte, verifier note.Verifier) error {
	checkpoint, err := ParseCheckpoint(p.Checkpoint, verifier)
	if err != nil {
		return err
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(raw)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, checkpoint.Size, leaf, p.Hashes, checkpoint.Root); err != nil {
		return fmt.Errorf("the entry is not at %d in the log: %w", p.Index, err)
	}
	return nil
}
