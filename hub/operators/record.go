package operators

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

// sweep is how many records of SVIDs that have ended one that is new takes with it.
const sweep = 50

// end is the part of a key that says when an SVID ends; keys are in that order.
func end(at time.Time) string { return fmt.Sprintf("%s%012d", prefix, at.Unix()) }

func keyOf(leaf *x509.Certificate) string {
	return fmt.Sprintf("%s/%x", end(leaf.NotAfter), sha256.Sum256(leaf.Raw))
}

// keep puts an SVID on record, and takes off some that have ended.
func (o *Operators) keep(ctx context.Context, leaf *x509.Certificate, r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	old, err := o.Store.Scan(ctx, prefix, "", sweep)
	if err != nil {
		return err
	}
	ops, ended := []store.Op{store.Put(keyOf(leaf), raw)}, end(o.Now())
	for _, item := range old {
		if item.Key < ended {
			ops = append(ops, store.Delete(item.Key))
		}
	}
	return o.Store.Commit(ctx, ops...)
}

// find returns the record of an SVID; ok is false where it is on none.
func (o *Operators) find(ctx context.Context, leaf *x509.Certificate) (r record, ok bool, err error) {
	id, err := identity.IDOf(leaf)
	if err != nil {
		return record{}, false, err
	}
	user, ok := identity.OperatorUser(o.TrustDomain, id)
	if !ok {
		return record{}, false, nil
	}
	item, err := o.Store.Get(ctx, keyOf(leaf))
	if errors.Is(err, store.ErrNotFound) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return record{}, false, fmt.Errorf("record of the operator %s: %w", user, err)
	}
	return r, r.User == user && o.Now().Before(leaf.NotAfter), nil
}
