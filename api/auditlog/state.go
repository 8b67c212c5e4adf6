package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// treeState is what the writer has integrated, signed or not yet.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

// ReadTreeState returns the size and root of what the log's writer has integrated. Nobody signed it.
func ReadTreeState(folder fs.FS) (size uint64, root []byte, err error) {
	raw, err := fs.ReadFile(folder, TreeStateFile)
	if err != nil {
		return 0, nil, err
	}
	return ParseTreeState(raw)
}

// ParseTreeState reads the content of TreeStateFile.
func ParseTreeState(raw []byte) (size uint64, root []byte, err error) {
	var state treeState
	if err := json.Unmarshal(raw, &state); err != nil {
		return 0, nil, err
	}
	again, err := json.Marshal(state)
	if err != nil || !bytes.Equal(again, raw) || len(state.Root) != rootSize {
		return 0, nil, fmt.Errorf("not in the form in which the log's writer writes it")
	}
	return state.Size, state.Root, nil
}

// snapshot is one view of a log's folder, which its writer may be writing to.
type snapshot struct {
	folder     fs.FS
	files      []File
	checkpoint *Checkpoint // nil where invalid
	state      *treeState  // nil where invalid
	findings   []Finding
}

// look lists the folder first and reads checkpoint and state after it, in this order: so all that was listed belongs to the
// state or came before it, and the checkpoint is never ahead of the state.
func look(folder fs.FS, verifier note.Verifier) (*snapshot, error) {
	files, err := Files(folder)
	if err != nil {
		return nil, err
	}
	s := &snapshot{folder: folder, files: files}
	if raw, err := fs.ReadFile(folder, CheckpointFile); err != nil {
		s.found(CheckpointInvalid, CheckpointFile, "cannot be read: %v", err)
	} else if checkpoint, err := ParseCheckpoint(raw, verifier); err != nil {
		s.found(CheckpointInvalid, CheckpointFile, "%v", err)
	} else {
		s.checkpoint = &checkpoint
	}
	if size, root, err := ReadTreeState(folder); err != nil {
		s.found(StateInvalid, TreeStateFile, "%v", err)
	} else {
		s.state = &treeState{size, root}
	}
	if raw, err := fs.ReadFile(folder, VersionFile); err != nil || string(raw) != stateVersion {
		s.found(StateInvalid, VersionFile, "does not say %s", stateVersion)
	}
	for _, f := range files {
		if f.Kind != KindLock {
			continue
		}
		if raw, err := fs.ReadFile(folder, f.Path); err != nil || len(raw) > 0 {
			s.found(StateInvalid, f.Path, "is not an empty file")
		}
	}
	if s.checkpoint != nil && s.state != nil && s.state.Size < s.checkpoint.Size {
		s.found(StateInvalid, TreeStateFile, "has %d entries, fewer than the %d of the signed checkpoint: it was set back", s.state.Size, s.checkpoint.Size)
	}
	return s, nil
}

// size is how many entries to check: all that were integrated, at least those that are signed.
func (s *snapshot) size() (size uint64) {
	if s.checkpoint != nil {
		size = s.checkpoint.Size
	}
	if s.state != nil {
		size = max(size, s.state.Size)
	}
	return size
}

// settle is how long a live log has to make something of a file that does not belong to it yet.
const settle = 250 * time.Millisecond

// unaccounted finds files that no log of this size has. A file that a live writer is just writing goes away or is covered by
// the next state, so each is looked at again for a moment.
func (s *snapshot) unaccounted(ctx context.Context) {
	var strange []File
	for _, f := range s.files {
		if f.strangeAt(s.size()) {
			strange = append(strange, f)
		}
	}
	bound, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	again := time.NewTicker(settle / 25)
	defer again.Stop()
	for len(strange) > 0 && bound.Err() == nil {
		strange = s.stillStrange(strange)
		select {
		case <-again.C:
		case <-bound.Done():
		}
	}
	for _, f := range strange {
		switch f.Kind {
		case KindUnknown:
			s.found(FileUnaccounted, f.Path, "is no part of an audit log")
		case KindTemporary:
			s.found(FileUnaccounted, f.Path, "was never finished: if the hub was killed, its next start removes it")
		default:
			s.found(FileUnaccounted, f.Path, "belongs to a log of %d entries, this one has %d: if the hub was killed, its next start removes it", f.Needs(), s.size())
		}
	}
}

// stillStrange keeps those that are still there, and that the state does not cover yet.
func (s *snapshot) stillStrange(strange []File) (still []File) {
	size, _, err := ReadTreeState(s.folder)
	for _, f := range strange {
		if _, gone := fs.Stat(s.folder, f.Path); gone == nil && (err != nil || f.strangeAt(size)) {
			still = append(still, f)
		}
	}
	return still
}

// strangeAt reports whether no log of this size has such a file.
func (f File) strangeAt(size uint64) bool { return f.Kind == KindUnknown || f.Leftover(size) }

func (s *snapshot) found(reason Reason, file, detail string, args ...any) {
	s.findings = append(s.findings, aboutFile(reason, file, detail, args...))
}
