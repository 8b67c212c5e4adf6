package rotation

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/identity"
)

var quiet = slog.New(slog.DiscardHandler)

// scene is a rotation on a real store and a real CA; its fleet is steered from outside.
type scene struct {
	t     *testing.T
	f     *trusttest.Fixture
	parts Parts
	r     *Rotation
	live  []string
	told  int
	now   time.Time
	log   []auditlog.Entry // the audit log
	full  error            // what it says to another entry
}

func (s *scene) record(_ context.Context, e auditlog.Entry) error {
	if _, err := auditlog.Encode(e); err != nil || s.full != nil {
		return cmp.Or(err, s.full)
	}
	s.log = append(s.log, e)
	return nil
}

func (s *scene) Live(context.Context) ([]string, error) { return s.live, nil }
func (s *scene) Connected() []string                    { return s.live }
func (s *scene) Announce()                              { s.told++ }

func newScene(t *testing.T, clusters ...string) *scene {
	s := &scene{t: t, f: trusttest.New(t), live: clusters}
	s.now = s.f.Now
	records, err := badgerstore.Open(t.TempDir(), quiet)
	require.NoError(t, err)
	t.Cleanup(func() { _ = records.Close() })
	ca, err := identity.LoadCA(t.TempDir(), spiffeid.RequireTrustDomainFromString("test.writ.dev"), time.Now())
	require.NoError(t, err)
	svid, authorities, err := identity.RenewHub(ca, time.Now)(t.Context())
	require.NoError(t, err)
	s.parts = Parts{Store: records, Fleet: s, Keys: KeyFile(filepath.Join(t.TempDir(), "gateway.key")), CA: ca, Source: identity.NewSource(svid, authorities),
		Renew: identity.RenewHub(ca, func() time.Time { return s.now }), Record: s.record, Log: quiet, Now: func() time.Time { return s.now }}
	s.keys(s.f.GatewayKey)
	s.r = s.open(s.f.Root.Bytes())
	return s
}

func (s *scene) open(pinned []byte) *Rotation {
	r, err := Open(s.t.Context(), s.parts, pinned)
	require.NoError(s.t, err)
	return r
}

func (s *scene) keys(keys ...ed25519.PrivateKey) {
	var raw []byte
	for _, key := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(s.t, err)
		raw = append(raw, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	require.NoError(s.t, os.WriteFile(s.parts.Keys.String(), raw, 0o600))
}

// says is what a spoke says that it trusts.
func (s *scene) says(cluster string, t *writv1.Trusting) {
	require.NoError(s.t, s.r.Holds(s.t.Context(), cluster, t))
}

func (s *scene) signs(cluster string, key ed25519.PrivateKey) {
	signer, err := s.r.SignerFor(cluster)
	require.NoError(s.t, err)
	require.Equal(s.t, key.Public(), signer.Public(), cluster)
}

// The gateway's key changes: each cluster is signed for with the key that its spoke knows, and the others are told.
func TestTheGatewaysKeyChanges(t *testing.T) {
	s := newScene(t, "east", "old", "west")
	next := trusttest.Private(t, 1)[0]
	draft := s.f.Draft(2)
	draft.Keys[trust.RoleGateway] = trusttest.Public([]ed25519.PrivateKey{next})
	second := s.f.Sign(draft)
	s.says("east", &writv1.Trusting{RootVersion: 1})
	s.says("west", &writv1.Trusting{RootVersion: 1})

	_, err := s.r.Publish(t.Context(), [][]byte{second})
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "put it there first", "no downtime: the key comes first")
	require.EqualValues(t, 1, s.r.Present().Version())
	require.Zero(t, s.told)

	s.keys(next, s.f.GatewayKey)
	version, err := s.r.Publish(t.Context(), [][]byte{second})
	require.NoError(t, err)
	require.EqualValues(t, 2, version)
	require.Equal(t, 1, s.told)
	for _, cluster := range s.live {
		s.signs(cluster, s.f.GatewayKey)
	}
	news, mark := s.r.Tell("east", &writv1.Trusting{RootVersion: 1, Authorities: s.parts.CA.Authorities().Digest()})
	require.Len(t, news, 1)
	require.Equal(t, [][]byte{second}, news[0].GetTrustRoots().GetRoots())
	require.NotEmpty(t, mark)
	s.says("east", &writv1.Trusting{RootVersion: 2})
	s.signs("east", next)
	s.signs("west", s.f.GatewayKey)
	status, err := s.r.TrustStatus(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"old", "west"}, status.Behind)
	news, _ = s.r.Tell("east", &writv1.Trusting{RootVersion: 2, Authorities: s.parts.CA.Authorities().Digest()})
	require.Empty(t, news)

	s.r = s.open(s.f.Root.Bytes()) // a restart, with the first version in the configuration
	require.EqualValues(t, 2, s.r.Present().Version())
	s.signs("east", next)
	s.signs("west", s.f.GatewayKey)
	s.keys(next) // the old key is gone: whoever is behind is told before anything else
	require.NoError(t, s.r.readKeys(t.Context()))
	s.signs("west", next)
	s.keys()
	require.Error(t, s.r.readKeys(t.Context()))
	s.signs("west", next)
}

// What a spoke says that it holds is told once, and known after a restart.
func TestWhoHasFollowedIsTold(t *testing.T) {
	s := newScene(t, "east")
	var told []string
	s.r.Followed = func(cluster string) { told = append(told, cluster) }
	require.Zero(t, s.r.RootOf("east"))
	s.says("east", &writv1.Trusting{RootVersion: 2})
	s.says("east", &writv1.Trusting{RootVersion: 2})
	require.Equal(t, []string{"east"}, told)
	require.EqualValues(t, 2, s.r.RootOf("east"))
	require.EqualValues(t, 2, s.open(s.f.Root.Bytes()).RootOf("east"))
	require.Zero(t, s.r.RootOf("west"))
}

// What does not follow is not published, and changes nothing.
func TestWhatIsNotPublished(t *testing.T) {
	s := newScene(t, "east")
	second := s.f.Sign(s.f.Draft(2))
	expired := s.f.Draft(2)
	expired.Expires = s.now.Add(-time.Second)
	for name, chain := range map[string][][]byte{
		"one is left out":   {s.f.Sign(s.f.Draft(3))},
		"signed by one key": {s.f.Sign(s.f.Draft(2), s.f.RootPrivate[0])},
		"expired":           {s.f.Sign(expired)},
		"good, then bad":    {second, s.f.Sign(s.f.Draft(4))},
		"of other people":   {trusttest.New(t).Sign(s.f.Draft(2))},
		"another first one": {trusttest.New(t).Root.Bytes()},
	} {
		_, err := s.r.Publish(t.Context(), chain)
		require.ErrorIs(t, err, ErrRefused, name)
		require.EqualValues(t, 1, s.r.Present().Version(), name)
		require.EqualValues(t, 1, s.open(s.f.Root.Bytes()).Present().Version(), name)
	}
	require.Zero(t, s.told)
	version, err := s.r.Publish(t.Context(), [][]byte{s.f.Root.Bytes()})
	require.NoError(t, err, "said again")
	require.EqualValues(t, 1, version)

	require.EqualValues(t, 2, s.open(second).Present().Version(), "the configuration has the next one")
	_, err = Open(t.Context(), s.parts, s.f.Sign(s.f.Draft(4)))
	require.ErrorIs(t, err, trust.ErrRoot)
	other := s.f.Draft(2)
	other.Expires = other.Expires.Add(time.Minute)
	_, err = Open(t.Context(), s.parts, s.f.Sign(other))
	require.ErrorContains(t, err, "not the version 2 that was published")
}

// The CA is rotated: nothing is taken away before everybody has followed.
func TestTheCAIsRotated(t *testing.T) {
	s := newScene(t, "away", "east")
	ctx, ca := t.Context(), s.parts.CA
	has := func(cluster, digest, signer string) {
		s.says(cluster, &writv1.Trusting{RootVersion: 1, Authorities: digest, SvidAuthority: signer})
	}
	stage := func(want identity.Stage, waits ...string) {
		t.Helper()
		require.NoError(t, s.r.moveCA(ctx))
		status, err := s.r.StatusOfCA(ctx)
		require.NoError(t, err)
		require.Equal(t, want, status.Stage)
		require.ElementsMatch(t, waits, status.Waits)
		require.Equal(t, ca.Authorities().Digest(), s.parts.Source.Authorities().Digest(), "the hub follows")
	}
	first := ca.Signer()
	for _, cluster := range s.live {
		has(cluster, ca.Authorities().Digest(), first)
	}
	require.Error(t, s.r.RotateCA(ctx, false, true), "nobody is left behind who was never waited for")
	require.Equal(t, identity.Idle, ca.Stage())

	require.NoError(t, s.r.RotateCA(ctx, true, false))
	both := ca.Authorities().Digest()
	stage(identity.Published, "away", "east")
	news, _ := s.r.Tell("east", &writv1.Trusting{RootVersion: 1, SvidAuthority: first})
	require.Equal(t, ca.Authorities().PEM(), news[0].GetAuthorities())
	has("east", both, first)
	stage(identity.Published, "away")
	has("away", both, first)
	stage(identity.Published) // held
	require.NoError(t, s.r.RotateCA(ctx, false, false))
	stage(identity.Signing, "away", "east")
	require.NotEqual(t, first, ca.Signer())
	signing := ca.Authorities().Digest()
	require.Equal(t, ca.Signer(), identity.AuthorityOf(s.parts.Source.SVID().Leaf()))
	news, _ = s.r.Tell("east", &writv1.Trusting{RootVersion: 1, Authorities: ca.Authorities().Digest(), SvidAuthority: first})
	require.NotNil(t, news[0].GetRenewal())
	has("east", ca.Authorities().Digest(), ca.Signer())
	stage(identity.Signing, "away")
	s.r = s.open(s.f.Root.Bytes())
	s.now = s.now.Add(AwayLimit - time.Minute)
	stage(identity.Signing, "away")
	s.now = s.now.Add(time.Minute)
	stage(identity.Idle)
	stage(identity.Idle)
	second := ca.Signer()
	require.Equal(t, []auditlog.Authority{
		{Step: auditlog.AuthorityPublished, Signer: first, Digest: both},
		{Step: auditlog.AuthoritySigning, Signer: second, Digest: signing, LeftBehind: []string{}},
		{Step: auditlog.AuthorityDropped, Signer: second, Digest: ca.Authorities().Digest(), LeftBehind: []string{"away"}}}, s.steps())

	require.NoError(t, s.r.RotateCA(ctx, false, false))
	stage(identity.Published, "away", "east")
	require.NoError(t, s.r.RotateCA(ctx, false, true), "nobody is waited for any more")
	stage(identity.Signing, "away", "east")
	stage(identity.Idle)
	require.Len(t, s.steps(), 6)
	require.Equal(t, []string{"away", "east"}, s.steps()[5].LeftBehind)
}

// steps are those of the CA's rotations that the audit log has.
func (s *scene) steps() (steps []auditlog.Authority) {
	for _, e := range s.log {
		if e.Authority != nil {
			steps = append(steps, *e.Authority)
		}
	}
	return steps
}

// Nothing is published that the audit log does not have, and no step of the CA's rotation is taken before the last one is on it.
func TestNothingCountsThatTheAuditLogDoesNotHave(t *testing.T) {
	s := newScene(t, "east")
	ctx, ca := t.Context(), s.parts.CA
	second := s.f.Sign(s.f.Draft(2))
	s.full = errors.New("no space left on device")
	_, err := s.r.Publish(ctx, [][]byte{second})
	require.ErrorIs(t, err, s.full)
	require.EqualValues(t, 1, s.r.Present().Version())
	_, err = Open(ctx, s.parts, second)
	require.ErrorIs(t, err, s.full, "nor by the configuration")
	require.EqualValues(t, 1, s.open(s.f.Root.Bytes()).Present().Version(), "nor after a restart")
	require.Zero(t, s.told)

	require.ErrorIs(t, s.r.RotateCA(ctx, false, false), s.full)
	s.says("east", &writv1.Trusting{RootVersion: 1, Authorities: ca.Authorities().Digest(), SvidAuthority: ca.Signer()})
	require.ErrorIs(t, s.r.moveCA(ctx), s.full)
	require.Equal(t, identity.Published, ca.Stage(), "it stands still")
	require.Empty(t, s.log)

	s.full = nil
	_, err = s.r.Publish(ctx, [][]byte{second})
	require.NoError(t, err)
	require.Equal(t, &auditlog.TrustRoot{Version: 2, Digest: bundle.Digest(second), Before: bundle.Digest(s.f.Root.Bytes()),
		Expires: s.r.Present().Expires()}, s.log[0].TrustRoot)
	_, err = s.r.Publish(ctx, [][]byte{second})
	require.NoError(t, err, "said again")
	require.Len(t, s.log, 1)
	s.r = s.open(s.f.Root.Bytes()) // a restart in between
	require.NoError(t, s.r.moveCA(ctx))
	require.Equal(t, identity.Signing, ca.Stage())
	require.Len(t, s.steps(), 2)
}

// Whoever is to tell Vault of the next authority learns when the hub advertises it: not before.
func TestTheHubSaysWhenItAdvertises(t *testing.T) {
	s := newScene(t, "east")
	ctx := t.Context()
	away := errors.New("the API server is away")
	var advertised []byte
	s.r.Advertise = func(context.Context) error {
		if away == nil {
			advertised = s.parts.CA.Authorities().PEM()
		}
		return away
	}
	telling := func(want bool) {
		t.Helper()
		s.r.advertise(ctx)
		status, err := s.r.StatusOfCA(ctx)
		require.NoError(t, err)
		require.Equal(t, want, status.Telling)
	}
	telling(false)
	require.Nil(t, advertised, "nothing has changed")
	require.NoError(t, s.r.RotateCA(ctx, true, false))
	s.says("east", &writv1.Trusting{RootVersion: 1, Authorities: s.parts.CA.Authorities().Digest()})
	telling(true)
	away = nil
	telling(false)
	require.Equal(t, s.parts.CA.Authorities().PEM(), advertised)
}

// The old authority is not dropped before the hub's own SVID is by the new one, however long its keeper is away.
func TestTheHubFollowsItsOwnCA(t *testing.T) {
	s := newScene(t)
	ctx, ca, renew := t.Context(), s.parts.CA, s.parts.Renew
	away := func(context.Context) (*identity.SVID, *identity.Authorities, error) {
		return nil, nil, identity.ErrAway
	}
	own := s.parts.Source.SVID()
	s.r.Renew = away
	require.NoError(t, s.r.RotateCA(ctx, false, false))
	require.NoError(t, s.r.moveCA(ctx))
	require.Equal(t, identity.Signing, ca.Stage())
	require.ErrorIs(t, s.r.moveCA(ctx), identity.ErrAway)
	require.Equal(t, identity.Signing, ca.Stage())
	require.Same(t, own, s.parts.Source.SVID())
	require.True(t, s.parts.Source.Authorities().Vouch(own.Leaf()))
	s.r.Renew = renew
	require.NoError(t, s.r.moveCA(ctx))
	require.Equal(t, identity.Idle, ca.Stage())
	require.Equal(t, ca.Signer(), identity.AuthorityOf(s.parts.Source.SVID().Leaf()))
}
