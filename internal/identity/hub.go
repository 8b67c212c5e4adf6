package identity

import (
	"context"
	"time"
)

// RenewHub issues the hub's own SVID from its own CA, each time with a new key.
func RenewHub(ca *CA, now func() time.Time) Renew {
	return func(ctx context.Context) (*SVID, *Authorities, error) {
		svid, err := ca.Make(ctx, "", Hub(ca.domain), now(), Life)
		return svid, ca.Authorities(), err
	}
}
