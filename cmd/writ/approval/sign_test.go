package approval

import (
	"crypto/ed25519"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh/agent"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust/trusttest"
)

// The ssh-agent signs with a key of the approver's own, inside a hardware key or not. What would not count is no signature.
func TestTheAgentSigns(t *testing.T) {
	order := signable{bytes: []byte("DSSEv1 an order")}
	signed := func(t *testing.T, socket string, mine ...*bundle.Key) error {
		t.Helper()
		t.Setenv(agentVariable, socket)
		p, err := fromAgent(mine, "sam")
		if err != nil {
			return err
		}
		signature, err := p.signature(t.Context(), order)
		if err != nil {
			require.Nil(t, signature)
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(signature.Sig)
		require.NoError(t, err)
		require.Equal(t, "sam's", signature.KeyID)
		require.LessOrEqual(t, len(signature.Sig), 512, "what an Approval takes")
		return mine[0].Verify(t.Context(), order.bytes, raw)
	}
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	ring := agent.NewKeyring()
	require.NoError(t, ring.Add(agent.AddedKey{PrivateKey: private}))
	file, err := bundle.NewVerifier("sam's", public)
	require.NoError(t, err)
	require.NoError(t, signed(t, trusttest.ServeAgent(t, ring), file))
	for _, keyType := range bundle.HardwareTypes() {
		t.Run(keyType, func(t *testing.T) {
			authenticator := trusttest.NewAuthenticator(t, keyType, "ssh:")
			key, err := bundle.NewHardwareVerifier("sam's", authenticator.Public)
			require.NoError(t, err)
			require.NoError(t, signed(t, authenticator.Serve(t), key))
			require.ErrorContains(t, signed(t, authenticator.Serve(t), file), "does not hold the key")
			require.ErrorContains(t, signed(t, trusttest.ServeAgent(t, ring), key), "does not hold the key")
			untouched := *authenticator
			untouched.Flags = 0
			require.ErrorContains(t, signed(t, untouched.Serve(t), key), "what was signed does not count")
			elsewhere := *authenticator
			elsewhere.Application = "ssh:elsewhere"
			require.ErrorContains(t, signed(t, elsewhere.Serve(t), key), "what was signed does not count")
		})
	}
	require.ErrorContains(t, signed(t, "", file), "start an ssh-agent")
}
