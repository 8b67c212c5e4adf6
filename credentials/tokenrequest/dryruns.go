package tokenrequest

import (
	"context"
	"time"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

// spare is how long a token must live that is lent for one dry run.
const spare = time.Minute

// DryRuns lends the identity of rehearsals of a bundle's action, for the dry run before it is executed: admission holds it to dry runs,
// and so does its own client. One token of an action is kept until it ends; the spoke may ask for them at any time anyway.
func (i *Issuer) DryRuns(ctx context.Context, v trust.Verified) (*credentials.RehearsalLease, error) {
	action := v.Order().Action
	if t := i.lent(action); t != nil {
		return t.rehearsal(), nil
	}
	t, err := token(ctx, i.spoke, Sandbox, RehearsalAccount(action), least)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dryRuns[action] = t
	return t.rehearsal(), nil
}

func (i *Issuer) lent(action string) *given {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.dryRuns[action]; t != nil && time.Until(t.expires) > spare {
		return t
	}
	return nil
}

func (t *given) rehearsal() *credentials.RehearsalLease {
	return credentials.NewRehearsalLease("tokenrequest", t.id, t.secret, t.expires)
}
