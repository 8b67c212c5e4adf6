package identity

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A CA is rotated with a spoke that follows and one that does not; each step is on disk, and the key stays private.
func TestARotation(t *testing.T) {
	dir := t.TempDir()
	ca, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	hub := NewSource(issue(t, ca, Hub(domain), Life), ca.Authorities())
	server := ServerTLS(hub, AcceptCallers(domain))
	east, away := NewSource(issue(t, ca, cluster(t, "east"), Life), ca.Authorities()), NewSource(issue(t, ca, cluster(t, "away"), Life), ca.Authorities())
	follow := func() { hub.Set(issue(t, ca, Hub(domain), Life), ca.Authorities()) }
	works := func(s *Source) bool { _, _, err := shake(t, server, ClientTLS(s)); return err == nil }
	first := ca.Signer()

	require.ErrorIs(t, ca.Switch(t.Context(), time.Now()), ErrStage)
	require.ErrorIs(t, ca.Drop(), ErrStage)
	require.NoError(t, ca.Prepare(t.Context(), time.Now()))
	require.ErrorIs(t, ca.Prepare(t.Context(), time.Now()), ErrStage)
	follow()
	require.Equal(t, Published, ca.Stage())
	require.Equal(t, first, ca.Signer(), "the next one does not sign yet")
	require.True(t, works(east) && works(away))
	east.SetAuthorities(ca.Authorities())
	again, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	require.Equal(t, Published, again.Stage())
	require.Equal(t, ca.Authorities().Digest(), again.Authorities().Digest())

	require.NoError(t, ca.Switch(t.Context(), time.Now()))
	follow()
	require.NotEqual(t, first, ca.Signer())
	require.True(t, works(east), "its old SVID counts still")
	require.False(t, works(away), "it does not know the hub by the new authority")
	renewed := issue(t, ca, cluster(t, "east"), Life)
	require.Equal(t, ca.Signer(), AuthorityOf(renewed.Leaf()))
	old := east.SVID()
	require.True(t, ca.Authorities().Vouch(old.Leaf()))
	again, err = LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	require.Equal(t, Signing, again.Stage())
	require.Equal(t, ca.Signer(), again.Signer())

	require.NoError(t, ca.Drop())
	follow()
	require.Equal(t, Idle, ca.Stage())
	require.False(t, works(east), "a client by the old authority is refused after the drop")
	require.False(t, ca.Authorities().Vouch(old.Leaf()), "also on a connection that is open")
	east.Set(renewed, ca.Authorities())
	require.True(t, works(east))
	raw, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
	again, err = LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	require.Equal(t, ca.Signer(), again.Signer())
	require.Len(t, again.current.Load().keys, 1, "the old key is gone: %d bytes", len(raw))
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

// A crash between the two files of a step leaves a CA that works.
func TestARotationThatWasCutOff(t *testing.T) {
	dir := t.TempDir()
	ca, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	certs, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	require.NoError(t, err)
	require.NoError(t, ca.Prepare(t.Context(), time.Now()))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), certs, 0o600))
	again, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	require.Equal(t, Idle, again.Stage())
	require.Equal(t, ca.Signer(), again.Signer())
	require.NoError(t, again.Prepare(t.Context(), time.Now()))

	keys, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
	require.NoError(t, again.Switch(t.Context(), time.Now()))
	require.NoError(t, again.Drop())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.key"), keys, 0o600))
	last, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	require.Equal(t, Idle, last.Stage())
	require.Equal(t, again.Signer(), last.Signer())
}
