package vault

import (
	"context"
	"fmt"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

// Foretell implements credentials.Issuer: Vault makes the names of its leases up.
func (i *stock) Foretell(trust.Verified) string { return "" }

// End implements credentials.Issuer.
func (i *stock) End(ctx context.Context, id string) error {
	_, err := i.session.write(ctx, 0, "revoking a lease", "sys/leases/revoke", map[string]any{"lease_id": id, "sync": true})
	return err
}

// Foretell implements credentials.Issuer: Vault makes the names of its leases up.
func (j *judged) Foretell(trust.Verified) string { return "" }

// End implements credentials.Issuer. Only the token that a lease was issued to may end it, and that is nowhere but in the memory of
// whoever got it; it ends with the action's deadline, and has Vault end the lease.
func (j *judged) End(context.Context, string) error {
	return fmt.Errorf("vault: the token of the lease was lost: %w", credentials.ErrOutOfReach)
}
