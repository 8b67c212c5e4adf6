package link

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

const (
	maxMessage = 512 << 10 // bytes; a bundle has at most half of it
	maxAnswer  = 4 << 20   // bytes; how a large fleet follows a rotation
	maxStreams = 4         // per connection: one Connect, and Renew
	buffer     = 4 << 10   // bytes; an idle spoke should cost next to nothing
	window     = 64 << 10  // bytes under way per stream; larger messages still pass
	age        = 30 * time.Minute
	grace      = 30 * time.Second
)

// NewServer makes the gRPC server for the port that spokes and operators use with their SVIDs, with the link on it. Connections are aged
// out, so that no handshake counts for long.
func NewServer(l *Link, source *identity.Source, td spiffeid.TrustDomain) *grpc.Server {
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(identity.ServerTLS(source, identity.AcceptCallers(td)))),
		grpc.UnaryInterceptor(l.authoriseUnary),
		grpc.StreamInterceptor(l.authoriseStream),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxAnswer),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(8<<10),
		grpc.ReadBufferSize(0), // TLS has one of its own
		grpc.WriteBufferSize(buffer),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(2*window),
		grpc.ConnectionTimeout(20*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: age, MaxConnectionAgeGrace: grace, Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	writv1.RegisterSpokesServer(server, l)
	if l.Operations != nil {
		writv1.RegisterOperatorsServer(server, l.Operations)
	}
	return server
}
