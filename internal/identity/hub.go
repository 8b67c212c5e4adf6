package identity

import (
	"context"
	"time"
)

// RenewHub issues the hub's own SVID from its own CA, each time with a new key. The key stays in memory: a restart makes
// another.
func RenewHub(ca *CA, now func() time.Time) Renew {
	return func(context.Context) (*SVID, *Authorities, error) {
		key, err := GenerateKey()
		if err != nil {
			return nil, nil, err
		}
		chain, err := ca.Issue(key.Public(), Hub(ca.domain), now(), Life)
		if err != nil {
			return nil, nil, err
		}
		svid, err := NewSVID(chain, key)
		return svid, ca.Authorities(), err
	}
}
