package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/hub/store"
)

// maxEntry bounds one entry of the archive, in bytes: a chunk with one value over, or a full bundle of the largest audit log
// entries.
const maxEntry = 32 << 20

// ErrBackup is wrapped by every error about a file that is no backup, or not a whole one.
var ErrBackup = errors.New("not a backup that can be restored")

// visitor takes in what is read, in the order in which it was written.
type visitor struct {
	manifest func(Manifest) error
	record   func(key string, value []byte) error
	file     func(name string, content []byte) error // one of keyFiles, or of the audit log
}

// read reads a backup strictly, to its end.
func read(from io.Reader, to visitor) (m Manifest, s Summary, err error) {
	zip, err := gzip.NewReader(from)
	if err != nil {
		return m, s, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	r := &reader{tar: tar.NewReader(zip), to: to, missing: slices.Clone(keyFiles)}
	for !r.ended {
		if err := r.next(); err != nil {
			return r.manifest, s, err
		}
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return r.manifest, s, fmt.Errorf("%w: there is more after its end", ErrBackup)
	}
	if _, err := io.CopyN(io.Discard, zip, maxEntry); !errors.Is(err, io.EOF) { // the checksum is at the end
		return r.manifest, s, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	if r.summary.Keys != r.keys || len(r.missing) > 0 {
		return r.manifest, s, fmt.Errorf("%w: %d of %d keys are in it, and %v are missing", ErrBackup, r.keys, r.summary.Keys, r.missing)
	}
	return r.manifest, r.summary, nil
}

type reader struct {
	tar      *tar.Reader
	to       visitor
	manifest Manifest
	summary  Summary
	keys     int
	missing  []string // of keyFiles
	ended    bool
}

// next takes one entry of the archive.
func (r *reader) next() error {
	header, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it was cut off", ErrBackup)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	if header.Typeflag != tar.TypeReg || header.Size > maxEntry {
		return fmt.Errorf("%w: %q is no file of at most %d bytes", ErrBackup, header.Name, maxEntry)
	}
	content := make([]byte, header.Size)
	if _, err := io.ReadFull(r.tar, content); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBackup, header.Name, err)
	}
	if (header.Name == manifestFile) != (r.manifest.Format == 0) {
		return fmt.Errorf("%w: it does not begin with one %s", ErrBackup, manifestFile)
	}
	return r.take(header.Name, content)
}

func (r *reader) take(name string, content []byte) error {
	dir, rest, _ := strings.Cut(name, "/")
	switch {
	case name == manifestFile:
		return r.begin(content)
	case name == summaryFile:
		r.ended = true
		return strictly(name, content, &r.summary)
	case dir == storeDir:
		return r.records(content)
	case slices.Contains(r.missing, name):
		r.missing = slices.DeleteFunc(r.missing, func(n string) bool { return n == name })
		return r.to.file(name, content)
	case dir == auditDir && ofTheLog(rest):
		return r.to.file(name, content)
	}
	return fmt.Errorf("%w: %q has no place in it", ErrBackup, name)
}

// ofTheLog reports whether a path is one that an audit log has; nothing else may decide where a file is written.
func ofTheLog(name string) bool {
	switch auditlog.Classify(name).Kind {
	case auditlog.KindCheckpoint, auditlog.KindState, auditlog.KindTile, auditlog.KindBundle:
		return true
	}
	return false
}

func (r *reader) begin(content []byte) error {
	if err := strictly(manifestFile, content, &r.manifest); err != nil {
		return err
	}
	if r.manifest.Format != Format {
		return fmt.Errorf("%w: it has format %d, this hub reads %d: restore it with release %s", ErrBackup, r.manifest.Format, Format, r.manifest.Release)
	}
	return r.to.manifest(r.manifest)
}

func (r *reader) records(content []byte) error {
	for len(content) > 0 {
		var key, value []byte
		var ok bool
		if key, content, ok = cut(content, store.MaxKey); ok {
			value, content, ok = cut(content, store.MaxValue)
		}
		if !ok {
			return fmt.Errorf("%w: the store's records cannot be read", ErrBackup)
		}
		r.keys++
		if err := r.to.record(string(key), value); err != nil {
			return err
		}
	}
	return nil
}

// cut takes a byte string with its length before it.
func cut(from []byte, most uint64) (taken, rest []byte, ok bool) {
	length, n := binary.Uvarint(from)
	if n <= 0 || length > most || length > uint64(len(from)-n) {
		return nil, nil, false
	}
	from = from[n:]
	return from[:length], from[length:], true
}

func strictly(name string, content []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBackup, name, err)
	}
	return nil
}

// Check reads a backup to its end and says what is in it.
func Check(from io.Reader) (Manifest, Summary, error) {
	return read(from, visitor{manifest: func(Manifest) error { return nil }, record: func(string, []byte) error { return nil },
		file: func(string, []byte) error { return nil }})
}
