// Package trusted holds the trust root of a spoke, and follows it from one version to the next.
//
// It promises that only the signatures of the trust root before lead to the next one, that none is left out and none comes again,
// and that it is in the journal before anything is judged by it. What the enrolment pinned is where it begins.
package trusted

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/spoke/journal"
)

// Keeper is the trust.Source of a spoke. It is safe for concurrent use.
type Keeper struct {
	*trust.Live
	journal *journal.Journal
	log     *slog.Logger
	now     func() time.Time
	turn    sync.Mutex // held by the one who walks
}

// Open reads the trust root from the journal; where that has none, or an earlier one than was pinned, the pinned one counts. One that
// has expired is no error: nothing passes by it, and the next one may come.
func Open(memory *journal.Journal, pinned []byte, log *slog.Logger, now func() time.Time) (*Keeper, error) {
	root, err := trust.Pinned(pinned)
	if err != nil {
		return nil, err
	}
	kept, err := memory.Trust()
	if err != nil {
		return nil, err
	}
	if kept != nil {
		walked, err := trust.Recall(kept)
		if err != nil {
			return nil, err
		}
		if walked.Version() >= root.Version() {
			root = walked
		}
	}
	if err := root.Valid(now()); err != nil {
		log.Error("nothing is executed by this trust root", "error", err)
	}
	return &Keeper{Live: trust.NewLive(root), journal: memory, log: log, now: now}, nil
}

// Walk goes on to the last of a chain of successors. What comes again, because the word of it was lost, is passed over. An error is
// a refusal or a fault; nothing has changed then.
func (k *Keeper) Walk(ctx context.Context, chain [][]byte) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	before := k.Present()
	for len(chain) > 0 {
		first, err := trust.Pinned(chain[0])
		if err != nil {
			return err
		}
		if first.Version() > before.Version() {
			break
		}
		chain = chain[1:]
	}
	if len(chain) == 0 {
		return nil
	}
	next, err := before.Walk(chain, k.now())
	if err != nil {
		return err
	}
	if err := k.journal.KeepTrust(next.Keep()); err != nil {
		return fmt.Errorf("the trust root could not be written down: %w", err)
	}
	k.Set(next)
	k.log.WarnContext(ctx, "took a new trust root", "version", next.Version(), "before", before.Version(), "expires", next.Expires())
	return nil
}
