package rotation

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
)

// Keys is where the gateway's keys are.
type Keys interface {
	// Read returns the keys that can sign now, the newest first. An error wraps bundle.ErrAway where asking again may help; any
	// other says that these keys are not to be used.
	Read(ctx context.Context) ([]*bundle.Key, error)
	// Every is how often to read, once that was possible.
	Every() time.Duration
	// String is the place, for people.
	String() string
}

// KeyFile is a file with the private keys.
type KeyFile string

// Read implements Keys.
func (f KeyFile) Read(context.Context) ([]*bundle.Key, error) {
	private, err := trustfile.LoadKeys(string(f))
	if err != nil {
		return nil, err
	}
	keys := make([]*bundle.Key, len(private))
	for i := range private {
		if keys[i], err = bundle.NewSigner("", private[i]); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Every implements Keys.
func (KeyFile) Every() time.Duration { return look }

// String implements Keys.
func (f KeyFile) String() string { return string(f) }

// readKeys reads the gateway's keys. Where they cannot be read, those that were read before stay.
func (r *Rotation) readKeys(ctx context.Context) error {
	keys, err := r.Keys.Read(ctx)
	if err != nil {
		return fmt.Errorf("the gateway's key: %w", err)
	}
	before := r.keys.Swap(&keys)
	same := func(a, b *bundle.Key) bool { return public(a).Equal(b.Public()) }
	if before != nil && !slices.EqualFunc(*before, keys, same) {
		r.Log.InfoContext(ctx, "the gateway's keys have changed", "keys", len(keys))
	}
	return nil
}

func public(key *bundle.Key) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// openKeys reads the gateway's keys for the first time: one of them must be the one that the trust root names. Where they are away the
// hub starts, and signs nothing until they are back: all else that it does is needed then too.
func (r *Rotation) openKeys(ctx context.Context) error {
	err := r.readKeys(ctx)
	if errors.Is(err, bundle.ErrAway) {
		r.Log.ErrorContext(ctx, "the gateway signs nothing yet, will try again", "error", err)
		r.problem = err.Error()
		return nil
	}
	if err == nil {
		_, err = r.keyOf(r.root.Present())
	}
	return err
}

// followKeys reads the gateway's keys again when it is time, and says once what is wrong with them.
func (r *Rotation) followKeys(ctx context.Context) {
	now, said := time.Now(), ""
	if r.keys.Load() != nil && now.Sub(r.readAt) < r.Keys.Every() {
		return
	}
	r.readAt = now
	err := r.readKeys(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		said = err.Error()
	}
	switch said {
	case r.problem:
	case "":
		r.Log.InfoContext(ctx, "the gateway has its keys again")
	default:
		r.Log.ErrorContext(ctx, "the gateway goes on with the keys it has", "error", err)
	}
	r.problem = said
}

// keyOf is the gateway's key that a trust root names.
func (r *Rotation) keyOf(root *trust.Root) (bundle.Signer, error) {
	listed, err := root.Keys(trust.RoleGateway)
	if err != nil {
		return nil, err
	}
	has := r.keys.Load()
	if has == nil {
		return nil, fmt.Errorf("%w: %s could not be read yet", bundle.ErrAway, r.Keys)
	}
	for _, own := range *has {
		for _, key := range listed {
			if public(own).Equal(key.Public()) {
				id, _ := key.KeyID()
				return own.Named(id), nil
			}
		}
	}
	return nil, fmt.Errorf("%s holds no key of the role gateway in version %d of the trust root: put it there first, beside the one that is there (writ trust rotate-gateway says how)",
		r.Keys, root.Version())
}
