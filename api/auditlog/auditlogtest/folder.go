package auditlogtest

import (
	"context"
	"crypto/rand"
	"io/fs"
	"maps"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/api/auditlog"
)

// Writer writes logs by Tessera, one key for all of them.
type Writer struct {
	t        testing.TB
	signer   note.Signer
	Verifier note.Verifier
}

// NewWriter makes a writer with a key of its own.
func NewWriter(t testing.TB) Writer {
	private, public, err := note.GenerateKey(rand.Reader, auditlog.Origin("example.org"))
	require.NoError(t, err)
	signer, err := note.NewSigner(private)
	require.NoError(t, err)
	verifier, err := note.NewVerifier(public)
	require.NoError(t, err)
	return Writer{t, signer, verifier}
}

// Write makes a log of these entries, batch by batch, and returns its folder in memory.
func (w Writer) Write(batches ...[]auditlog.Entry) fstest.MapFS {
	dir := w.t.TempDir()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	require.NoError(w.t, err)
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(w.signer).WithBatching(256, time.Millisecond).WithCheckpointInterval(100*time.Millisecond).
		WithCheckpointRepublishInterval(0).WithGarbageCollectionInterval(0))
	require.NoError(w.t, err)
	for _, batch := range batches {
		var futures []tessera.IndexFuture
		for _, e := range batch {
			raw, err := auditlog.Encode(e)
			require.NoError(w.t, err)
			futures = append(futures, appender.Add(ctx, tessera.NewEntry(raw)))
		}
		for _, future := range futures {
			_, err := future()
			require.NoError(w.t, err)
		}
	}
	require.NoError(w.t, shutdown(ctx))
	return Load(w.t, dir)
}

// Singly puts each entry into a batch of its own, so that every partial tile comes to be.
func Singly(entries []auditlog.Entry) (batches [][]auditlog.Entry) {
	for _, e := range entries {
		batches = append(batches, []auditlog.Entry{e})
	}
	return batches
}

// Load reads a folder into memory.
func Load(t testing.TB, dir string) fstest.MapFS {
	folder, held := os.DirFS(dir), fstest.MapFS{}
	require.NoError(t, fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(folder, name)
		held[name] = &fstest.MapFile{Data: raw, Mode: 0o644}
		return err
	}))
	require.NotEmpty(t, held)
	return held
}

// With is a copy of the folder in which one file has another content; nil removes it.
func With(folder fstest.MapFS, name string, content []byte) fstest.MapFS {
	changed := maps.Clone(folder)
	if delete(changed, name); content != nil {
		changed[name] = &fstest.MapFile{Data: content, Mode: 0o644}
	}
	return changed
}
