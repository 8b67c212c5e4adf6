package audit

import (
	"context"
	"fmt"
	"runtime"

	"github.com/transparency-dev/tessera"

	"github.com/writ-dev/writ/api/auditlog"
)

// pending are entries that somebody waits for.
type pending struct {
	raw    [][]byte
	result chan result // of capacity 1: the writer never waits
}

type result struct {
	indices []uint64
	err     error
}

// Append puts entries on the log and returns their indices once all are durable: their bytes, the tree's hashes over them and
// the new size are each fsynced, in this order, once for all of them.
//
// An entry that is too large or not valid is refused before anything is written. After any other error entries may be on the
// log nevertheless: append them again, twice is no harm.
func (l *Log) Append(ctx context.Context, entries ...auditlog.Entry) ([]uint64, error) {
	p := pending{raw: make([][]byte, len(entries)), result: make(chan result, 1)}
	for i, entry := range entries {
		raw, err := auditlog.Encode(entry)
		if err != nil {
			return nil, err
		}
		p.raw[i] = raw
	}
	select {
	case l.queue <- p:
	case <-l.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("appending to the audit log: %w", ctx.Err())
	}
	select {
	case r := <-p.result:
		return r.indices, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("appending to the audit log: %w", ctx.Err())
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
			batch := l.drain([]pending{first})
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
	futures := make([][]tessera.IndexFuture, len(batch))
	for i, p := range batch {
		for _, raw := range p.raw {
			futures[i] = append(futures[i], l.appender.Add(ctx, tessera.NewEntry(raw)))
		}
	}
	ok = true
	for i, p := range batch {
		var r result
		for _, future := range futures[i] {
			index, err := future()
			if err != nil {
				ok, r.err = false, fmt.Errorf("appending to the audit log: %w", err)
			}
			r.indices = append(r.indices, index.Index)
		}
		p.result <- r
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
