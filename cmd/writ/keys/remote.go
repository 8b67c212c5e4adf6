package keys

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/cmd/writ/operator"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/identity"
)

// answerWithin bounds a call.
const answerWithin = 30 * time.Second

// remote is a hub at its port, where an operator's SVID is shown.
type remote struct {
	address string
	conn    *grpc.ClientConn
	hub     writv1.OperatorsClient
}

func dial(address string, login *operator.Login) (remote, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(identity.DialCredentials(identity.NewSource(login.SVID, login.Authorities))))
	if err != nil {
		return remote{}, fmt.Errorf("the hub's address %s: %w", address, err)
	}
	return remote{address, conn, writv1.NewOperatorsClient(conn)}, nil
}

// TrustStatus implements Hub.
func (r remote) TrustStatus(ctx context.Context) (rotation.TrustStatus, error) {
	return ask(ctx, r, r.hub.TrustRoot, &writv1.TrustRootRequest{}, rotation.TrustStatusOf)
}

// Publish implements Hub.
func (r remote) Publish(ctx context.Context, chain [][]byte) (rotation.TrustStatus, error) {
	return ask(ctx, r, r.hub.PublishTrustRoot, &writv1.PublishTrustRootRequest{Roots: chain}, rotation.TrustStatusOf)
}

// CAStatus implements Hub.
func (r remote) CAStatus(ctx context.Context) (rotation.CAStatus, error) {
	return ask(ctx, r, r.hub.Authority, &writv1.AuthorityRequest{}, rotation.CAStatusOf)
}

// RotateCA implements Hub.
func (r remote) RotateCA(ctx context.Context, hold, force bool) (rotation.CAStatus, error) {
	return ask(ctx, r, r.hub.RotateAuthority, &writv1.RotateAuthorityRequest{Hold: hold, LeaveBehind: force}, rotation.CAStatusOf)
}

// Close implements Hub.
func (r remote) Close() error { return r.conn.Close() }

func ask[Q, A, S any](ctx context.Context, r remote, method func(context.Context, *Q, ...grpc.CallOption) (*A, error), request *Q, read func(*A) S) (s S, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := method(ctx, request)
	if err != nil {
		return s, r.explain(err)
	}
	return read(answer), nil
}

// explain makes one line of what the hub or the way to it says.
func (r remote) explain(err error) error {
	said := status.Convert(err)
	message := said.Message()
	switch {
	case said.Code() == codes.Unimplemented:
		return fmt.Errorf("the hub at %s is of a release that knows no operators: use --data-dir, or upgrade it", r.address)
	case said.Code() != codes.Unavailable || !strings.Contains(message, "connection error") && !strings.Contains(message, "error reading from server"):
		return fmt.Errorf("the hub refused: %s", message)
	case strings.Contains(message, "tls:") || strings.Contains(message, "x509:"):
		return fmt.Errorf("the hub at %s is not the one of your login, or has another authority since: writ operator login (%s)", r.address, message)
	}
	return fmt.Errorf("the hub at %s cannot be reached: %s", r.address, message)
}
