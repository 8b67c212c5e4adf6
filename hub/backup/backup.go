// Package backup writes all that a hub must not lose to one file, and makes a data directory of such a file again.
//
// A backup is a gzipped tar: the store as of one moment, the audit log at least as far, the CA and the audit log's key. It is
// taken while the hub works. It promises that a restore which did not come to its end is noticed by the hub, and that a file
// which was cut off is refused. The gateway's key and the trust root are not in it: they are the operator's, and the hub only
// reads them.
//
// A backup holds private keys, in the clear. Whoever has one can be the hub's CA.
package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Format is the version of the files that this code writes, and the only one that it reads.
const Format = 1

// Manifest comes first in the file.
type Manifest struct {
	Format      int       `json:"format"`
	TrustDomain string    `json:"trustDomain"`
	MadeAt      time.Time `json:"madeAt"`
	Release     string    `json:"release"`
	Capability  uint32    `json:"capability"`
}

// Summary comes last: what came before it is whole.
type Summary struct {
	Keys         int    `json:"keys"`         // of the store
	AuditEntries uint64 `json:"auditEntries"` // on the audit log
}

// Describe is one line for people.
func (m Manifest) Describe(s Summary) string {
	return fmt.Sprintf("backup of %s of %s by release %s: %d keys of the store, %d audit log entries, the CA and the audit log's key",
		m.TrustDomain, m.MadeAt.Format(time.RFC3339), m.Release, s.Keys, s.AuditEntries)
}

// The names in the archive, which are those in the data directory but for the store.
const (
	manifestFile = "backup.json"
	summaryFile  = "end.json"
	storeDir     = "store"
	auditDir     = "audit"
)

// keyFiles are copied as they are, all of them.
var keyFiles = []string{"ca/ca.key", "ca/ca.crt", "audit.key", "audit.vkey"}

// chunk is how much of the store goes into one entry of the archive, in bytes, before the next begins.
const chunk = 4 << 20

// Records is the store.
type Records interface {
	Export(ctx context.Context, visit func(key string, value []byte) error) error
}

// Trail is the audit log.
type Trail interface {
	Snapshot(ctx context.Context, visit func(name string, content []byte) error) (size uint64, err error)
}

// Hub is what a backup is taken of.
type Hub struct {
	Dir     string // its data directory
	Records Records
	Trail   Trail
}

// Write writes a backup. The store is read before the audit log: what the store knows to be on the log is on it.
func (h Hub) Write(ctx context.Context, to io.Writer, manifest Manifest) (s Summary, err error) {
	manifest.Format = Format
	zip := gzip.NewWriter(to)
	w := &writer{tar: tar.NewWriter(zip), at: manifest.MadeAt}
	if err := w.addJSON(manifestFile, manifest); err != nil {
		return s, err
	}
	if err := h.Records.Export(ctx, w.record); err != nil {
		return s, fmt.Errorf("backing up the store: %w", err)
	}
	if err := w.flush(); err != nil {
		return s, err
	}
	s.Keys = w.keys
	if s.AuditEntries, err = h.Trail.Snapshot(ctx, func(name string, content []byte) error { return w.add(auditDir+"/"+name, content) }); err != nil {
		return s, fmt.Errorf("backing up the audit log: %w", err)
	}
	for _, name := range keyFiles {
		content, err := os.ReadFile(filepath.Join(h.Dir, filepath.FromSlash(name)))
		if err == nil {
			err = w.add(name, content)
		}
		if err != nil {
			return s, err
		}
	}
	return s, errors.Join(w.addJSON(summaryFile, s), w.tar.Close(), zip.Close())
}

type writer struct {
	tar    *tar.Writer
	at     time.Time
	buffer []byte // records that are not in an entry yet
	chunks int
	keys   int
}

// record takes one key of the store, as two byte strings with their lengths before them (unsigned varints).
func (w *writer) record(key string, value []byte) error {
	w.keys++
	w.buffer = append(binary.AppendUvarint(w.buffer, uint64(len(key))), key...)
	w.buffer = append(binary.AppendUvarint(w.buffer, uint64(len(value))), value...)
	if len(w.buffer) < chunk {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}
	err := w.add(fmt.Sprintf("%s/%06d", storeDir, w.chunks), w.buffer)
	w.chunks, w.buffer = w.chunks+1, w.buffer[:0]
	return err
}

func (w *writer) addJSON(name string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return w.add(name, content)
}

func (w *writer) add(name string, content []byte) error {
	err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: w.at})
	if err == nil {
		_, err = w.tar.Write(content)
	}
	if err != nil {
		return fmt.Errorf("writing %s to the backup: %w", name, err)
	}
	return nil
}
