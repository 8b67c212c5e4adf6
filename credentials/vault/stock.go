package vault

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

// stock issues where Vault runs without Writ's auth method: the spoke proves itself by its SVID alone, and Vault takes its word for
// the rules.
type stock struct {
	session *session
	mount   string
}

// Issue implements credentials.Issuer. The engine's role exists for as long as this takes.
func (i *stock) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	end := time.Now().Add(life)
	name, err := roleName(v.Decoded().Bundle)
	if err != nil {
		return nil, err
	}
	order, role, ttl := v.Order(), i.mount+"/roles/"+name, seconds(max(life, least))
	definition, err := RoleOf(order, ttl)
	if err != nil {
		return nil, err
	}
	if _, err := i.session.write(ctx, life, "making the role of "+order.ID, role, definition); err != nil {
		return nil, err
	}
	secret, err := i.session.write(ctx, life, "issuing the credential of "+order.ID, i.mount+"/creds/"+name,
		map[string]any{"kubernetes_namespace": order.Target.Namespace, "ttl": ttl})
	left := i.remove(ctx, role)
	if err != nil {
		return nil, err
	}
	lease, no := i.lease(secret, left, role)
	if no == nil {
		no = check(secret, lease, order.Target.Namespace, end)
	}
	if no == nil {
		return lease, nil
	}
	if lease != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		no = errors.Join(no, lease.Revoke(ctx))
	}
	return nil, no
}

// lease is what Vault gave, and how to give it back: the identity is deleted from the cluster, and the role with it where
// that failed before.
func (i *stock) lease(secret *api.Secret, left error, role string) (*credentials.Lease, error) {
	if secret == nil || secret.LeaseID == "" {
		return nil, errors.New("vault: the answer holds no lease")
	}
	token, _ := secret.Data["service_account_token"].(string)
	end := i.session.bounded(time.Now().Add(time.Duration(secret.LeaseDuration) * time.Second))
	return credentials.NewLease("vault", secret.LeaseID, token, end, func(ctx context.Context) error {
		_, err := i.session.write(ctx, 0, "revoking a lease", "sys/leases/revoke", map[string]any{"lease_id": secret.LeaseID, "sync": true})
		if left != nil {
			err = errors.Join(err, i.remove(ctx, role))
		}
		return err
	}), nil
}

// remove deletes the engine's role, also when whoever asked for the credential has given up.
func (i *stock) remove(ctx context.Context, role string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return i.session.delete(ctx, "removing a role", role)
}
