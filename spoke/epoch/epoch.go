// Package epoch lets a spoke's sequence begin anew where the root keys say so: its hub was restored, and does not know what it
// has signed.
//
// It promises that nobody but the root threshold of the pinned trust root can do that, that an epoch never goes back, and that
// what the journal knows of used orders and of what is under way stays.
package epoch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/spoke/journal"
)

// ErrRefused is wrapped where a reset is not one for this cluster.
var ErrRefused = errors.New("epoch reset refused")

// Keeper holds the journal's epoch to what the root keys have signed.
type Keeper struct {
	Audience bundle.Audience
	Root     trust.Source
	Journal  *journal.Journal
	Log      *slog.Logger
	Now      func() time.Time
}

// Reset takes a signed statement in. One that was taken in before is refused like every other that leads nowhere.
func (k *Keeper) Reset(ctx context.Context, raw []byte) error {
	reset, err := trust.VerifyReset(ctx, raw, k.Root.Present(), k.Now())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !reset.For(k.Audience.TrustDomain, k.Audience.Cluster) {
		return fmt.Errorf("%w: it is for cluster %s of %s", ErrRefused, reset.Cluster, reset.TrustDomain)
	}
	before, err := k.Journal.Head()
	if err != nil {
		return err
	}
	if err := k.Journal.Reset(reset.Epoch); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	k.Log.WarnContext(ctx, "the root keys let the sequence begin anew", "epoch", reset.Epoch, "before", before.Epoch, "sequence", before.Sequence)
	return nil
}
