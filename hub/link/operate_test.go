package link

import (
	"context"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// crew is the operators and what they may call, in memory; and the log.
type crew struct {
	writv1.UnimplementedOperatorsServer
	mu     sync.Mutex
	gone   bool
	called int
	log    strings.Builder
}

func (c *crew) Authorise(_ context.Context, leaf *x509.Certificate) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := identity.IDOf(leaf)
	if err != nil {
		return "", err
	}
	user, ok := identity.OperatorUser(domain, id)
	if !ok || c.gone {
		return "", status.Error(codes.PermissionDenied, "no operator")
	}
	return user, nil
}

func (c *crew) RotateAuthority(context.Context, *writv1.RotateAuthorityRequest) (*writv1.AuthorityStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.called++
	return &writv1.AuthorityStatus{}, nil
}

func (c *crew) PublishTrustRoot(context.Context, *writv1.PublishTrustRootRequest) (*writv1.TrustRootStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.called++
	return nil, status.Error(codes.FailedPrecondition, "unsigned")
}

func (c *crew) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(line)
}

// took is how many calls were let through, and the log.
func (c *crew) took() (calls int, log string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.called, c.log.String()
}

func (w *world) dial(t *testing.T, source *identity.Source) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(identity.DialCredentials(source)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAnOperatorCallsWhatIsAnOperatorsAndNothingElse(t *testing.T) {
	w := newWorld(t, time.Hour)
	id, err := identity.Operator(domain, "olga")
	require.NoError(t, err)
	conn := w.dial(t, w.sourceOf(t, id))
	olga := writv1.NewOperatorsClient(conn)
	_, err = olga.RotateAuthority(t.Context(), &writv1.RotateAuthorityRequest{})
	require.NoError(t, err)
	_, err = olga.PublishTrustRoot(t.Context(), &writv1.PublishTrustRootRequest{})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	calls, log := w.crew.took()
	require.Equal(t, 2, calls)
	for _, told := range []string{"operator=olga", "method=/writ.v1.Operators/RotateAuthority", "method=/writ.v1.Operators/PublishTrustRoot", "unsigned"} {
		require.Contains(t, log, told)
	}

	refused := func(code codes.Code, err error) {
		t.Helper()
		require.Equal(t, code, status.Code(err), "%v", err)
		now, _ := w.crew.took()
		require.Equal(t, calls, now)
		require.Empty(t, w.words())
		require.Empty(t, w.link.Connected())
	}
	spoke := writv1.NewSpokesClient(conn)
	_, err = spoke.Renew(t.Context(), &writv1.RenewRequest{})
	refused(codes.PermissionDenied, err)
	stream, err := spoke.Connect(t.Context())
	require.NoError(t, err)
	_ = stream.Send(hello("olga", 0, ""))
	_, err = stream.Recv()
	refused(codes.PermissionDenied, err)
	_, err = writv1.NewOperatorsClient(w.dial(t, w.source(t, "east"))).RotateAuthority(t.Context(), &writv1.RotateAuthorityRequest{})
	refused(codes.PermissionDenied, err)
	_, err = olga.PublishTrustRoot(t.Context(), &writv1.PublishTrustRootRequest{Roots: [][]byte{make([]byte, maxMessage)}})
	refused(codes.ResourceExhausted, err)

	w.ahead.Store(int64(identity.Life + time.Second)) // on the open connection
	_, err = olga.RotateAuthority(t.Context(), &writv1.RotateAuthorityRequest{})
	refused(codes.Unauthenticated, err)
	w.ahead.Store(0)
	w.crew.mu.Lock()
	w.crew.gone = true
	w.crew.mu.Unlock()
	_, err = olga.RotateAuthority(t.Context(), &writv1.RotateAuthorityRequest{})
	refused(codes.PermissionDenied, err)
}
