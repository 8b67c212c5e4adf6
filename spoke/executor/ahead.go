package executor

import (
	"context"
	"errors"
	"time"
)

// aheadFor bounds how old what a dry run found out may be when it counts.
const aheadFor = time.Second

// ahead is a dry run that is made beside the credential.
type ahead struct {
	began time.Time
	found chan *trial // of capacity 1; nil where it did not pass
}

// lookAhead begins the dry run while the credential is being issued, as somebody whom admission holds to dry runs. It saves time and
// decides nothing: where it does not pass, for whatever reason, the dry run is made with the credential, and that one counts.
func (e *Executor) lookAhead(ctx context.Context, a *attempt) {
	if e.DryRuns == nil || a.ahead != nil {
		return
	}
	found := make(chan *trial, 1)
	a.ahead = &ahead{began: e.Now(), found: found}
	e.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, aheadFor)
		defer cancel()
		t, err := e.tryAhead(ctx, a)
		if err != nil {
			e.Log.DebugContext(ctx, "the dry run beside the credential did not pass", "bundle", a.id(), "error", err)
		}
		found <- t
	})
}

func (e *Executor) tryAhead(ctx context.Context, a *attempt) (*trial, error) {
	config, err := e.DryRuns(ctx, a.verified)
	if err != nil {
		return nil, err
	}
	api, err := newAPI(config, a.decoded.Order.Target.Namespace)
	if err != nil {
		return nil, err
	}
	t, no, err := e.tryAs(ctx, a, api)
	if no != nil {
		return nil, errors.New(no.String())
	}
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// seenAhead is what the dry run beside the credential found, once; false where it did not pass, or was too long ago.
func (e *Executor) seenAhead(a *attempt) (trial, bool) {
	if a.ahead == nil {
		return trial{}, false
	}
	t := <-a.ahead.found
	fresh := e.Now().Sub(a.ahead.began) <= aheadFor
	a.ahead = nil
	if t == nil || !fresh {
		return trial{}, false
	}
	return *t, true
}
