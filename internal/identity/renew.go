package identity

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Renew makes the next SVID and says which authorities count from now on.
type Renew func(ctx context.Context) (*SVID, *Authorities, error)

// Keep renews a source's SVID at half of its life, ±10 %, or when hurry is written to, until the context ends. A renewal that
// fails is tried again, first soon, later every minute. store is called before the source changes: what is not on disk is not used.
func Keep(ctx context.Context, source *Source, renew Renew, store func(*SVID, *Authorities) error, hurry <-chan struct{},
	now func() time.Time, log *slog.Logger) {
	for failures := 0; ; {
		held := source.SVID()
		from, until := now().Add(-Life), now() // without an SVID one is due
		if held != nil {
			from, until = held.Leaf().NotBefore, held.Leaf().NotAfter
		}
		wait := halfLife(from, until, rand.Float64()).Sub(now())
		if failures > 0 {
			wait = retryAfter(failures, until.Sub(from))
		}
		if !sleep(ctx, wait, hurry) {
			return
		}
		svid, authorities, err := renew(ctx)
		if err == nil && held != nil && svid.ID != held.ID {
			err = fmt.Errorf("the new SVID is for %s, ours is %s", svid.ID, held.ID)
		}
		if err == nil {
			err = store(svid, authorities)
		}
		if err != nil {
			failures++
			if ctx.Err() == nil {
				log.WarnContext(ctx, "could not renew the SVID, will try again", "error", err, "expires", until)
			}
			continue
		}
		failures = 0
		source.Set(svid, authorities)
		log.InfoContext(ctx, "renewed the SVID", "id", svid.ID.String(), "expires", svid.Leaf().NotAfter)
	}
}

// halfLife is when to renew; chance, in [0, 1), moves it by up to 10 % of the half in either direction, so that a fleet
// enrolled in one minute does not renew in one.
func halfLife(from, until time.Time, chance float64) time.Time {
	half := float64(until.Sub(from)) / 2
	return from.Add(time.Duration(half * (0.9 + 0.2*chance)))
}

// retryAfter grows with the failures, up to a minute, or a twentieth of a life that is shorter than that allows.
func retryAfter(failures int, life time.Duration) time.Duration {
	most := min(time.Minute, life/20)
	wait := min(most, time.Second<<min(failures-1, 6))
	return wait/2 + rand.N(wait/2+1)
}

func sleep(ctx context.Context, wait time.Duration, hurry <-chan struct{}) bool {
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-hurry:
		return true
	}
}
