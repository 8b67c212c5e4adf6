package vaultauth_test

import (
	"crypto/ed25519"
	"maps"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
)

// believe configures the method anew with versions of the trust root, and returns what it says to that.
func (s *scene) believe(t *testing.T, versions ...[]byte) string {
	t.Helper()
	answer, err := s.do(t.Context(), logical.ReadOperation, "config", nil)
	require.NoError(t, err)
	data := maps.Clone(answer.Data)
	var chain []string
	for _, raw := range versions {
		chain = append(chain, string(raw))
	}
	data["trust_root"] = chain
	said, err := s.do(t.Context(), logical.UpdateOperation, "config", data)
	require.NoError(t, err)
	if !said.IsError() {
		return ""
	}
	after, err := s.do(t.Context(), logical.ReadOperation, "config", nil)
	require.NoError(t, err)
	require.Equal(t, answer.Data, after.Data, "nothing has changed")
	return said.Error().Error()
}

func (s *scene) version(t *testing.T) any {
	t.Helper()
	answer, err := s.do(t.Context(), logical.ReadOperation, "config", nil)
	require.NoError(t, err)
	return answer.Data["trust_root_version"]
}

func TestVaultWalksFromTrustRootToTrustRoot(t *testing.T) {
	s := newScene(t)
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	anew := trusttest.Signer(t, private)
	draft := func(version int64) trust.Draft {
		d := s.Draft(version)
		d.Keys[trust.RoleGateway] = []ed25519.PublicKey{public}
		return d
	}
	second, third, fourth := s.Sign(draft(2)), s.Sign(draft(3)), s.Sign(draft(4))
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	foreign := trusttest.New(t)
	for says, chain := range map[string][][]byte{
		"version 3 does not follow version 1":                    {third},
		"version 4 does not follow version 2":                    {second, fourth},
		"is not the version 1 that is here":                      {foreign.Root.Bytes()},
		"is not signed by 2 root keys":                           {foreign.Sign(foreign.Draft(2))},
		"trust_root is needed":                                   {},
		"not enough signatures":                                  {s.Sign(draft(2), s.RootPrivate[0], stranger)},
		"is not the version 1 that is here: one of them was not": {foreign.Root.Bytes(), second},
	} {
		require.Contains(t, s.believe(t, chain...), says)
	}
	expired := draft(2)
	expired.Expires = s.now.Add(-time.Hour)
	require.Contains(t, s.believe(t, s.Sign(expired)), "expired")
	require.EqualValues(t, 1, s.version(t))

	before := s.now
	login := func(name string, key *bundle.Key) string {
		answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order(name)), key), s.east(t))
		require.NoError(t, err)
		if answer.IsError() {
			return answer.Error().Error()
		}
		return ""
	}
	require.Contains(t, login("early", anew), "SignatureInvalid")
	require.Empty(t, s.believe(t, s.Root.Bytes()), "what is there may be said again")
	require.Empty(t, s.believe(t, s.Root.Bytes(), second))
	require.EqualValues(t, 2, s.version(t))
	require.Empty(t, login("new", anew))
	require.Empty(t, login("under-way", s.Gateway), "what the old key has signed before counts as long as it lives")
	s.restart(t)
	require.Empty(t, login("still-under-way", s.Gateway), "after a restart too")
	s.now, s.Now = before.Add(2*time.Minute), before.Add(2*time.Minute)
	require.Contains(t, login("late", s.Gateway), "KeyRetired", "what it signs afterwards does not")
	require.Contains(t, s.believe(t, s.Root.Bytes()), "nothing goes back")
	require.Contains(t, s.believe(t, s.Root.Bytes(), s.Sign(s.Draft(2))), "is not the version 2 that is here")
	require.Empty(t, s.believe(t, third, fourth))
	require.EqualValues(t, 4, s.version(t))

	_, err = s.do(t.Context(), logical.DeleteOperation, "config", nil)
	require.NoError(t, err)
	answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order("nobody")), anew), s.east(t))
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "not configured")
}
