package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// An operator from elsewhere sees and changes what somebody at the door does: the same, word for word.
func TestFromElsewhereItIsTheSame(t *testing.T) {
	s := newScene(t, "east", "west")
	ctx, server := t.Context(), s.r.Server()
	same := func(here, there any, err error) {
		t.Helper()
		require.NoError(t, err)
		want, err := json.Marshal(here)
		require.NoError(t, err)
		got, err := json.Marshal(there)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	}
	authority := func(m *writv1.AuthorityStatus, err error) {
		t.Helper()
		require.NoError(t, err)
		here, err := s.r.StatusOfCA(ctx)
		same(here, CAStatusOf(m), err)
	}
	root := func(m *writv1.TrustRootStatus, err error) {
		t.Helper()
		require.NoError(t, err)
		here, err := s.r.TrustStatus(ctx)
		same(here, TrustStatusOf(m), err)
	}
	root(server.TrustRoot(ctx, &writv1.TrustRootRequest{}))
	authority(server.Authority(ctx, &writv1.AuthorityRequest{}))
	s.says("east", &writv1.Trusting{RootVersion: 1, Authorities: s.parts.CA.Authorities().Digest(), SvidAuthority: s.parts.CA.Signer(), Problem: "none"})

	_, err := server.RotateAuthority(ctx, &writv1.RotateAuthorityRequest{LeaveBehind: true})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.Equal(t, identity.Idle, s.parts.CA.Stage())
	s.r.Advertise = func(context.Context) error { return errors.New("not yet") }
	authority(server.RotateAuthority(ctx, &writv1.RotateAuthorityRequest{Hold: true}))
	held, err := s.r.StatusOfCA(ctx)
	require.NoError(t, err)
	require.True(t, held.Telling, "whoever is to tell Vault has to wait, from elsewhere too")
	require.Equal(t, identity.Published, s.parts.CA.Stage())
	authority(server.Authority(ctx, &writv1.AuthorityRequest{}))

	told := s.told
	_, err = server.PublishTrustRoot(ctx, &writv1.PublishTrustRootRequest{Roots: [][]byte{s.f.Sign(s.f.Draft(2), s.f.RootPrivate[0])}})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.EqualValues(t, 1, s.r.Present().Version())
	require.Equal(t, told, s.told)
	root(server.PublishTrustRoot(ctx, &writv1.PublishTrustRootRequest{Roots: [][]byte{s.f.Sign(s.f.Draft(2))}}))
	require.EqualValues(t, 2, s.r.Present().Version())
	root(server.TrustRoot(ctx, &writv1.TrustRootRequest{}))
}
