package identity

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
)

// DialCredentials are gRPC's transport credentials of a spoke: each connection is made with what the source holds then, so
// that a renewed SVID and rotated authorities need no restart.
func DialCredentials(source *Source) credentials.TransportCredentials { return dialer{source} }

type dialer struct{ source *Source }

func (d dialer) now() credentials.TransportCredentials {
	return credentials.NewTLS(ClientTLS(d.source))
}

// ClientHandshake implements credentials.TransportCredentials.
func (d dialer) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return d.now().ClientHandshake(ctx, authority, conn)
}

// ServerHandshake implements credentials.TransportCredentials; a dialer is no server.
func (d dialer) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, net.ErrClosed
}

// Info implements credentials.TransportCredentials.
func (d dialer) Info() credentials.ProtocolInfo { return d.now().Info() }

// Clone implements credentials.TransportCredentials.
func (d dialer) Clone() credentials.TransportCredentials { return d }

// OverrideServerName implements credentials.TransportCredentials. The hub's name follows from the trust domain alone.
func (d dialer) OverrideServerName(string) error { return net.ErrClosed }
