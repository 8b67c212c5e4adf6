package operators

import (
	"context"
	"crypto/x509"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/v1alpha1"
)

const (
	// believed is how long the API server's word about one SVID counts: so long may a right that was taken away still be used.
	believed = 2 * time.Second
	// What one SVID may ask for.
	perSecond = 10
	burst     = 30
)

// word is what the API server said last of the owner of one SVID.
type word struct {
	may   bool
	at    time.Time
	until time.Time // the SVID's end
	pace  *rate.Limiter
}

var (
	errNotOnRecord = status.Error(codes.PermissionDenied, "this SVID is not one that the hub gave an operator: writ operator login")
	errTooMany     = status.Error(codes.ResourceExhausted, "too many calls: wait a few seconds")
	errAway        = status.Error(codes.Unavailable, "the hub cannot find out now whether you may operate the fleet: try again")
)

// Authorise returns the operator that a verified certificate speaks for now. Its refusals are gRPC statuses. The authority that signed the
// certificate need not count any more: the one certificate on record is the one that the hub made.
func (o *Operators) Authorise(ctx context.Context, leaf *x509.Certificate) (user string, err error) {
	r, ok, err := o.find(ctx, leaf)
	if err != nil {
		o.Log.ErrorContext(ctx, "could not look up an operator", "error", err)
		return "", errAway
	}
	if !ok {
		return "", errNotOnRecord
	}
	now := o.Now()
	last := o.last(leaf, now)
	if !last.pace.AllowN(now, 1) {
		return r.User, errTooMany
	}
	may, fresh := o.recall(last, now)
	if !fresh {
		if may, err = o.may(ctx, r); err != nil {
			o.Log.ErrorContext(ctx, "could not look up an operator", "error", err)
			return r.User, errAway
		}
		o.remember(last, may, now)
	}
	if !may {
		return r.User, status.Errorf(codes.PermissionDenied, "%s may not, or no longer, operate the fleet: it takes the verb %s on clusters, as the role writ-operator has it",
			r.User, v1alpha1.OperateVerb)
	}
	return r.User, nil
}

// last is the word about one SVID; those about SVIDs that have ended are forgotten.
func (o *Operators) last(leaf *x509.Certificate, now time.Time) *word {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := keyOf(leaf)
	if o.words[key] == nil {
		for other, w := range o.words {
			if now.After(w.until) {
				delete(o.words, other)
			}
		}
		o.words[key] = &word{until: leaf.NotAfter, pace: rate.NewLimiter(perSecond, burst)}
	}
	return o.words[key]
}

func (o *Operators) recall(w *word, now time.Time) (may, fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return w.may, !w.at.IsZero() && now.Sub(w.at) < believed
}

// remember takes the time before the API server was asked: its word is no younger.
func (o *Operators) remember(w *word, may bool, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at.After(w.at) {
		w.may, w.at = may, at
	}
}
