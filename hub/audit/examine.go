package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/api/auditlog"
)

// ErrLocked is what Open returns while another process writes the log.
var ErrLocked = errors.New("another process is writing the audit log")

// lockDir locks the folder itself, so that no lock file lies in it. The kernel lets go when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), f.Close())
	}
	return f, nil
}

// examine checks that the log's growing end is as its last writer left it, and returns the size from which to go on: Tessera
// would build on whatever it finds. What lies before the end is for auditlog.Verify.
func examine(ctx context.Context, dir string, verifier note.Verifier) (uint64, error) {
	folder, files := os.DirFS(dir), &client.FileFetcher{Root: dir}
	size, root, err := auditlog.ReadTreeState(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fresh(dir)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", auditlog.TreeStateFile, err)
	}
	raw, err := fs.ReadFile(folder, auditlog.CheckpointFile)
	if errors.Is(err, fs.ErrNotExist) && size == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	checkpoint, err := auditlog.ParseCheckpoint(raw, verifier)
	if err != nil {
		return 0, err
	}
	if checkpoint.Size > size {
		return 0, fmt.Errorf("the checkpoint has %d entries, the state only %d: the state was set back", checkpoint.Size, size)
	}
	if size == 0 {
		return 0, nil
	}
	if err := endIsWhole(ctx, files, size, root); err != nil {
		return 0, err
	}
	return size, continues(ctx, files, checkpoint, size, root)
}

// fresh returns an error unless the folder holds no log yet: without its state a log must not be begun anew.
func fresh(dir string) error {
	for _, name := range []string{auditlog.CheckpointFile, "tile"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there, but %s is not: restore it from a backup, or move the folder away", name, auditlog.TreeStateFile)
		}
	}
	return nil
}

// endIsWhole recomputes the root from the tiles at the tree's edge, and the last of these from its entries.
func endIsWhole(ctx context.Context, files *client.FileFetcher, size uint64, root []byte) error {
	nodes, err := client.FetchRangeNodes(ctx, size, files.ReadTile)
	if err != nil {
		return err
	}
	edge, err := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewRange(0, size, nodes)
	if err != nil {
		return err
	}
	if got, err := edge.GetRootHash(nil); err != nil || !bytes.Equal(got, root) {
		return errors.New("the tiles do not give the root of the state: run writ audit verify")
	}
	last := (size - 1) / layout.EntryBundleWidth
	raw, err := files.ReadEntryBundle(ctx, last, layout.PartialTileSize(0, last, size))
	if err != nil {
		return err
	}
	var entries api.EntryBundle
	if err := entries.UnmarshalText(raw); err != nil {
		return err
	}
	var hashes []byte
	for _, e := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e)...)
	}
	tile, err := files.ReadTile(ctx, 0, last, layout.PartialTileSize(0, last, size))
	if err != nil {
		return err
	}
	if !bytes.Equal(hashes, tile) {
		return errors.New("the last entries are not those of the tree: run writ audit verify")
	}
	return nil
}

// continues checks that the state continues what the last checkpoint signed.
func continues(ctx context.Context, files *client.FileFetcher, signed auditlog.Checkpoint, size uint64, root []byte) error {
	if signed.Size == 0 {
		return nil
	}
	builder, err := client.NewProofBuilder(ctx, size, files.ReadTile)
	if err != nil {
		return err
	}
	hashes, err := builder.ConsistencyProof(ctx, signed.Size, size)
	if err != nil {
		return err
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, signed.Size, size, hashes, signed.Root, root); err != nil {
		return fmt.Errorf("the tree does not continue its checkpoint: run writ audit verify: %w", err)
	}
	return nil
}
