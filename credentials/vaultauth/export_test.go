package vaultauth

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// NewAt is Factory with a clock.
func NewAt(ctx context.Context, c *logical.BackendConfig, now func() time.Time) (logical.Backend, error) {
	b := newBackend(now)
	return b, b.Setup(ctx, c)
}
