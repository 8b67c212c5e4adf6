package auditlog

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/note"
)

// Indexed is an entry and where it is in the log.
type Indexed struct {
	Index  uint64 `json:"index"`
	Signed bool   `json:"signed"` // the checkpoint covers it
	Entry  Entry  `json:"entry"`
}

// Story returns the entries about one request, in order. The request is given as its UID, its name, or namespace/name; names
// are used again, so there may be several of one name. It tells no story from a log whose tree does not verify.
func Story(ctx context.Context, dir string, verifier note.Verifier, request string) ([]Indexed, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	return story(ctx, os.DirFS(dir), verifier, request)
}

func story(ctx context.Context, folder fs.FS, verifier note.Verifier, request string) ([]Indexed, error) {
	s, err := look(folder, verifier)
	if err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	if s.checkpoint == nil {
		return nil, fmt.Errorf("the audit log cannot be trusted: %s", s.findings[0])
	}
	var found []Indexed
	t := newTree(folder, s.files, s.size(), s.rootsWanted(nil)...)
	var invalid error
	complete, err := t.rebuild(ctx, func(index uint64, raw []byte) {
		e, err := Decode(raw)
		if err != nil && invalid == nil {
			invalid = fmt.Errorf("entry %d: %w", index, err)
		}
		if err == nil && e.Request != nil && e.Request.is(request) {
			found = append(found, Indexed{Index: index, Signed: index < s.checkpoint.Size, Entry: e})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	if complete {
		t.checkRoots(s)
	}
	switch {
	case len(t.findings) > 0:
		return nil, fmt.Errorf("the audit log cannot be trusted: %s", t.findings[0])
	case invalid != nil:
		return nil, invalid
	}
	return found, nil
}

func (r Request) is(request string) bool {
	return r.UID == request || r.Name == request || r.Namespace+"/"+r.Name == request
}
