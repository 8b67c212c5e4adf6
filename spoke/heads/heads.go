// Package heads takes in what the hub signs with every heartbeat: the end of the cluster's queue, and what is frozen.
//
// It notices when bundles are withheld: what is signed as sent must arrive. What is frozen is in the journal before the head
// counts as heard, and an older head never thaws it.
package heads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/spoke/journal"
)

// patience is how long the journal may lag behind a signed head before it counts as withholding.
const patience = 30 * time.Second

// ErrHead is wrapped by every error about a head that is not believed, or that shows that something is wrong.
var ErrHead = errors.New("head")

// Watch compares heads with the journal. It is safe for concurrent use.
type Watch struct {
	Audience bundle.Audience
	Root     trust.Source
	Journal  *journal.Journal
	Heard    func(bundle.Freezes) // hears each new list, once it is in the journal; nil hears nothing
	Log      *slog.Logger
	Now      func() time.Time

	mu     sync.Mutex // guards behind
	behind time.Time  // since when the journal lags; zero while it does not
}

// Head takes one signed head in. An error is a finding.
func (w *Watch) Head(ctx context.Context, raw []byte) error {
	head, err := w.open(ctx, raw)
	if err != nil {
		return err
	}
	have, err := w.Journal.Head()
	if err != nil {
		return err
	}
	if head.Epoch == have.Epoch && head.Freezes != nil { // before all else: a queue that looks wrong thaws nothing
		if err := w.freeze(ctx, head); err != nil {
			return err
		}
	}
	now := w.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case head.Epoch != have.Epoch:
		return fmt.Errorf("%w: the hub is in epoch %d, this cluster in %d", ErrHead, head.Epoch, have.Epoch)
	case head.Sequence < have.Sequence && head.At.After(now.Add(-patience)):
		return fmt.Errorf("%w: the hub ends at %d, this cluster has taken %d: the hub was set back", ErrHead, head.Sequence, have.Sequence)
	case head.Sequence <= have.Sequence:
		w.behind = time.Time{}
	case w.behind.IsZero():
		w.behind = now
	case now.Sub(w.behind) > patience:
		return fmt.Errorf("%w: bundles %d to %d are withheld since %s", ErrHead, have.Sequence+1, head.Sequence, w.behind.UTC().Format(time.RFC3339))
	}
	return nil
}

// freeze holds what the head says is frozen. It is in the journal when this returns.
func (w *Watch) freeze(ctx context.Context, head bundle.Head) error {
	before, err := w.Journal.Frozen()
	if err != nil {
		return err
	}
	err = w.Journal.Freeze(head.Epoch, *head.Freezes)
	if errors.Is(err, journal.ErrThawed) {
		return fmt.Errorf("%w: of %s: %w", ErrHead, head.At.UTC().Format(time.RFC3339), err)
	}
	if err == nil && before.Generation != head.Freezes.Generation {
		if w.Heard != nil {
			w.Heard(*head.Freezes)
		}
		w.Log.InfoContext(ctx, "holds what the hub has frozen", "generation", head.Freezes.Generation, "freezes", len(head.Freezes.Active))
	}
	return err
}

func (w *Watch) open(ctx context.Context, raw []byte) (bundle.Head, error) {
	head, no := trust.VerifyHead(ctx, raw, w.Root.Present(), w.Now())
	if no != nil {
		return head, fmt.Errorf("%w: %s", ErrHead, no)
	}
	if head.Audience != w.Audience {
		return head, fmt.Errorf("%w: it is for cluster %s", ErrHead, head.Audience.Cluster)
	}
	return head, nil
}
