package vault

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/credentials"
)

// A credential that ends with the action is as long as it must be, however long it takes to look; one that ends before is not.
func TestACredentialLastsUntilTheActionsEnd(t *testing.T) {
	secret := &api.Secret{Data: map[string]any{"service_account_token": "t", "service_account_namespace": "shop"}}
	end := time.Now().Add(30 * time.Second)
	of := func(expires time.Time) error {
		return check(secret, credentials.NewLease("vault", "id", "t", expires, nil), "shop", end)
	}
	for range 1000 {
		require.NoError(t, of(end))
	}
	err := of(end.Add(-time.Millisecond))
	require.ErrorIs(t, err, credentials.ErrRefused)
	require.ErrorContains(t, err, "ends 1ms before the action's time is over")
	require.ErrorContains(t, of(end.Add(time.Hour)), "asked was until")
	require.ErrorContains(t, check(secret, credentials.NewLease("vault", "id", "t", end, nil), "pay", end), `wanted "pay"`)
}
