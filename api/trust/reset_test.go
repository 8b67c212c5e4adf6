package trust_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
)

// The root threshold resets an epoch, and nothing less or else does.
func TestAnEpochResetNeedsTheRootThreshold(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	draft := trust.Draft{Version: 1, Expires: now.Add(time.Hour), Threshold: map[trust.Role]int{trust.RoleRoot: 2}, Keys: map[trust.Role][]ed25519.PublicKey{}}
	var private []ed25519.PrivateKey
	for range 4 { // three root keys and the gateway's
		public, key, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		role := trust.RoleRoot
		if len(private) == 3 {
			role = trust.RoleGateway
		}
		draft.Keys[role] = append(draft.Keys[role], public)
		private = append(private, key)
	}
	raw, err := trust.Sign(draft, private[:2]...)
	require.NoError(t, err)
	root, err := trust.ParseRoot(raw, now)
	require.NoError(t, err)
	signer := func(n int) bundle.Signer {
		id, err := trust.KeyID(private[n].Public().(ed25519.PublicKey))
		require.NoError(t, err)
		key, err := bundle.NewSigner(id, private[n])
		require.NoError(t, err)
		return key
	}
	good := bundle.EpochReset{Format: bundle.Format, TrustDomain: "writ.test", Cluster: "east", Epoch: 2, At: now}
	for name, c := range map[string]struct {
		change func(*bundle.EpochReset)
		kind   string
		by     []int
		says   string
	}{
		"two of three":    {by: []int{0, 2}},
		"all":             {by: []int{0, 1, 2}},
		"for all":         {change: func(r *bundle.EpochReset) { r.Cluster = bundle.EveryCluster }, by: []int{0, 1}},
		"nobody":          {by: nil, says: "needs the signatures of 2 root keys"},
		"one":             {by: []int{0}, says: "needs the signatures of 2 root keys"},
		"one twice":       {by: []int{1, 1}, says: "needs the signatures of 2 root keys"},
		"the gateway":     {by: []int{0, 3}, says: "needs the signatures of 2 root keys"},
		"and the gateway": {by: []int{0, 1, 3}, says: "needs the signatures of 2 root keys"},
		"another type":    {by: []int{0, 1}, kind: bundle.HeadType, says: "payload type"},
		"the first epoch": {change: func(r *bundle.EpochReset) { r.Epoch = 1 }, by: []int{0, 1}, says: "an epoch above 1"},
		"no cluster":      {change: func(r *bundle.EpochReset) { r.Cluster = "" }, by: []int{0, 1}, says: "are needed"},
		"another format":  {change: func(r *bundle.EpochReset) { r.Format = 9 }, by: []int{0, 1}, says: "format 9"},
		"from the future": {change: func(r *bundle.EpochReset) { r.At = now.Add(time.Hour) }, by: []int{0, 1}, says: "yet to come"},
	} {
		t.Run(name, func(t *testing.T) {
			reset, kind := good, bundle.ResetType
			if c.change != nil {
				c.change(&reset)
			}
			if c.kind != "" {
				kind = c.kind
			}
			var signers []bundle.Signer
			for _, n := range c.by {
				signers = append(signers, signer(n))
			}
			raw, err := bundle.Seal(context.Background(), kind, reset, signers...)
			require.NoError(t, err)
			got, err := trust.VerifyReset(t.Context(), raw, root, now)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				require.Zero(t, got.Epoch)
				return
			}
			require.NoError(t, err)
			require.Equal(t, reset, got)
			require.True(t, got.For("writ.test", "east"))
			require.False(t, got.For("other.test", "east"))
			require.Equal(t, reset.Cluster == bundle.EveryCluster, got.For("writ.test", "west"))
		})
	}
}
