package audit

import (
	"context"
	"fmt"
	"runtime"

	"github.com/transparency-dev/tessera"

	"github.com/writ-dev/writ/api/auditlog"
)

// pending is an entry that somebody waits for.
type pending struct {
	raw    []byte
	result chan result // of capacity 1: the writer never waits
}

type result struct {
	index uint64
	err   error
}

// Append puts an entry on the log and returns its index once it is durable: its bytes, the tree's hashes over them and the
// new size are each fsynced, in this order.
//
// An entry that is too large or not valid is refused before anything is written. After any other error the entry may be on
// the log nevertheless: append it again, twice is no harm.
func (l *Log) Append(ctx context.Context, entry auditlog.Entry) (uint64, error) {
	raw, err := auditlog.Encode(entry)
	if err != nil {
		return 0, err
	}
	p := pending{raw: raw, result: make(chan result, 1)}
	select {
	case l.queue <- p:
	case <-l.closing:
		return 0, ErrClosed
	case <-ctx.Done():
		return 0, fmt.Errorf("appending to the audit log: %w", ctx.Err())
	}
	select {
	case r := <-p.result:
		return r.index, r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("appending to the audit log: %w", ctx.Err())
	}
}

// write commits what has come in while the batch before it was being written, so that a lone entry never waits and many
// share their fsyncs.
func (l *Log) write() {
	healthy := true
	for {
		select {
		case <-l.closing:
			return
		case first := <-l.queue:
			batch := l.drain(append(make([]pending, 0, maxBatch), first))
			if !healthy {
				healthy = l.heal(batch)
			}
			if healthy {
				healthy = l.commit(batch)
			}
		}
	}
}

// drain takes whoever else is waiting. It yields once, for those that the last batch has just woken.
func (l *Log) drain(batch []pending) []pending {
	for yielded := false; len(batch) < maxBatch; {
		select {
		case p := <-l.queue:
			batch = append(batch, p)
			yielded = false
		default:
			if yielded {
				return batch
			}
			runtime.Gosched()
			yielded = true
		}
	}
	return batch
}

// commit writes a batch and tells those who wait. It returns false if anything failed.
func (l *Log) commit(batch []pending) (ok bool) {
	ctx := context.Background() // a batch is finished, whoever has gone away meanwhile
	entries := make([]*tessera.Entry, len(batch))
	for i, p := range batch {
		entries[i] = tessera.NewEntry(p.raw)
	}
	futures := make([]tessera.IndexFuture, len(batch))
	for i, e := range entries {
		futures[i] = l.appender.Add(ctx, e)
	}
	ok = true
	for i, future := range futures {
		index, err := future()
		if err != nil {
			ok, err = false, fmt.Errorf("appending to the audit log: %w", err)
		}
		batch[i].result <- result{index.Index, err}
	}
	return ok
}

// heal removes what a failed batch left behind, before another is written over it.
func (l *Log) heal(batch []pending) bool {
	ctx := context.Background()
	size, err := l.reader.IntegratedSize(ctx)
	if err == nil {
		err = l.removeLeftovers(ctx, size)
	}
	if err == nil {
		return true
	}
	for _, p := range batch {
		p.result <- result{err: fmt.Errorf("appending to the audit log: %w", err)}
	}
	return false
}
