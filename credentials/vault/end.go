package vault

import (
	"context"
	"fmt"
	"strings"

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

// Foretell implements credentials.Issuer: whatever is issued for a bundle is below this name.
func (j *judged) Foretell(v trust.Verified) string { return j.leaseID(v.Decoded().Bundle.ID) }

// End implements credentials.Issuer. The spoke proves itself as it does at a login: no token is needed.
func (j *judged) End(ctx context.Context, id string) error {
	bundleID, ok := strings.CutPrefix(id, j.leaseID(""))
	if !ok {
		return fmt.Errorf("%s is no lease of this cluster's: %w", id, credentials.ErrOutOfReach)
	}
	bundleID, _, _ = strings.Cut(bundleID, "/") // an earlier release wrote down the name of the one credential
	return j.end(ctx, bundleID)
}
