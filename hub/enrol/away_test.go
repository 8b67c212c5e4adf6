package enrol

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// away is a keeper of the CA's key that does not answer.
type away struct{}

func (away) Authorities(context.Context) ([]*x509.Certificate, error) { return nil, identity.ErrAway }

func (away) Sign(context.Context, *x509.Certificate, *x509.Certificate, []byte) (*x509.Certificate, error) {
	return nil, identity.ErrAway
}

func (away) String() string { return "a keeper" }

// While the CA's key is away nobody gets an SVID, and is told why in one line; whoever asks again once it is back gets one, also with a
// join token that is burnt.
func TestTheKeyOfTheCAIsAway(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "t-east")
	here, dir := w.CA, t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), here.Authorities().PEM(), 0o600))
	gone, err := identity.OpenCA(t.Context(), dir, domain, away{}, w.clock())
	require.NoError(t, err)
	request := newSpoke(t).request(t, "east", "t-east")
	refused := func(err error) {
		t.Helper()
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.Equal(t, "the hub cannot sign SVIDs now, because its CA's key is away: try again", status.Convert(err).Message())
	}

	w.CA = gone
	_, err = w.client.Enrol(t.Context(), request)
	refused(err)
	w.CA = here
	_, err = w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
	w.CA = gone
	before := w.all(t)
	_, err = w.Renew(t.Context(), "east", &writv1.RenewRequest{Csr: request.GetCsr(), Version: request.GetVersion()})
	refused(err)
	require.Equal(t, before, w.all(t))
	w.CA = here
	_, err = w.Renew(t.Context(), "east", &writv1.RenewRequest{Csr: request.GetCsr(), Version: request.GetVersion()})
	require.NoError(t, err)
}
