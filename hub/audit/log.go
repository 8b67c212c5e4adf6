// Package audit writes the audit log: a C2SP tlog-tiles folder with signed checkpoints, by Tessera's POSIX driver.
//
// It promises that an entry whose Append has returned is on disk, has its place in the tree, and is covered by a checkpoint
// soon after; that one process writes a log at a time; and that a log which was tampered with at its growing end is not
// written on. It never changes an entry, and removes only files that no entry needs. It is meant for a local disk, not NFS.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/writ-dev/writ/api/auditlog"
)

const (
	// checkpointEvery is how long an entry waits at most for a checkpoint that covers it: the least that Tessera allows.
	checkpointEvery = 100 * time.Millisecond
	// maxBatch is how many entries share one set of fsyncs.
	maxBatch = 256
	// gather is how long Tessera waits for the rest of a batch. The writer hands batches over whole, so it need not be long.
	gather = 100 * time.Microsecond
	// pruneEvery is how often superseded partial tiles are removed.
	pruneEvery = 10 * time.Second
)

// ErrClosed is what Append returns once the log is closed.
var ErrClosed = errors.New("the audit log is closed")

// Log is an audit log opened for writing. All methods may be called at once.
type Log struct {
	dir      string
	key      Key
	lock     *os.File
	appender *tessera.Appender
	reader   tessera.LogReader
	shutdown func(context.Context) error
	stop     context.CancelFunc
	log      *slog.Logger

	queue   chan pending
	closing chan struct{}
	once    sync.Once
	tasks   sync.WaitGroup
}

// Open opens the log in the folder dir, or begins one there. ctx is for opening only; end with Close.
func Open(ctx context.Context, dir string, key Key, log *slog.Logger) (*Log, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, key: key, lock: lock, log: log, queue: make(chan pending), closing: make(chan struct{})}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	size, err := examine(ctx, l.dir, l.key.Verifier)
	if err != nil {
		return fmt.Errorf("the audit log in %s: %w", l.dir, err)
	}
	if err := l.removeLeftovers(ctx, size); err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: l.dir})
	if err != nil {
		return fmt.Errorf("the audit log: %w", err)
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(l.key.Signer).
		WithBatching(maxBatch, gather).
		WithCheckpointInterval(checkpointEvery).
		WithCheckpointRepublishInterval(0).
		WithGarbageCollectionInterval(0) // see prune
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.appender, l.shutdown, l.reader, err = tessera.NewAppender(running, driver, options)
	if err != nil {
		stop()
		return fmt.Errorf("the audit log: %w", err)
	}
	l.stop = stop
	if _, err := l.awaitCheckpoint(ctx, size); err != nil { // a hub killed before its last checkpoint
		stop()
		return err
	}
	l.tasks.Go(l.write)
	l.tasks.Go(l.prune)
	return nil
}

// Checkpoint returns the current checkpoint, signed. It may be up to 100 ms behind the last entry.
func (l *Log) Checkpoint() ([]byte, error) {
	return os.ReadFile(filepath.Join(l.dir, auditlog.CheckpointFile))
}

// Size is how many entries are on the log.
func (l *Log) Size(ctx context.Context) (uint64, error) { return l.reader.IntegratedSize(ctx) }

// InclusionProof proves that the entry at index is in the log, waiting for a checkpoint that covers it.
func (l *Log) InclusionProof(ctx context.Context, index uint64) (auditlog.Inclusion, error) {
	checkpoint, err := l.awaitCheckpoint(ctx, index+1)
	if err != nil {
		return auditlog.Inclusion{}, err
	}
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, l.reader.ReadTile)
	if err != nil {
		return auditlog.Inclusion{}, fmt.Errorf("proving audit log entry %d: %w", index, err)
	}
	hashes, err := builder.InclusionProof(ctx, index)
	if err != nil {
		return auditlog.Inclusion{}, fmt.Errorf("proving audit log entry %d: %w", index, err)
	}
	return auditlog.Inclusion{Index: index, Hashes: hashes, Checkpoint: checkpoint.Raw}, nil
}

// awaitCheckpoint waits for a checkpoint of at least size entries.
func (l *Log) awaitCheckpoint(ctx context.Context, size uint64) (auditlog.Checkpoint, error) {
	tick := time.NewTicker(checkpointEvery / 10)
	defer tick.Stop()
	for {
		raw, err := l.Checkpoint()
		if err == nil {
			checkpoint, err := auditlog.ParseCheckpoint(raw, l.key.Verifier)
			if err != nil {
				return checkpoint, err
			}
			if checkpoint.Size >= size {
				return checkpoint, nil
			}
		}
		select {
		case <-ctx.Done():
			return auditlog.Checkpoint{}, fmt.Errorf("waiting for a checkpoint of %d audit log entries: %w", size, ctx.Err())
		case <-tick.C:
		}
	}
}

// Close takes no more entries, publishes the last checkpoint and lets go of the folder. It may be called more than once.
func (l *Log) Close(ctx context.Context) (err error) {
	l.once.Do(func() {
		close(l.closing)
		l.tasks.Wait()
		err = l.shutdown(ctx)
		l.stop()
		err = errors.Join(err, l.lock.Close())
	})
	if err != nil {
		return fmt.Errorf("closing the audit log: %w", err)
	}
	return nil
}
