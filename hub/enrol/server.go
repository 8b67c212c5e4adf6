package enrol

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// NewServer makes the gRPC server for the port where no client certificate is asked for. It serves enrolment and nothing
// else, in small messages, to connections that do not stay.
func NewServer(s *Service, source *identity.Source) *grpc.Server {
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(identity.EnrolServerTLS(source))),
		grpc.MaxRecvMsgSize(32<<10),
		grpc.MaxConcurrentStreams(4),
		grpc.MaxHeaderListSize(8<<10),
		grpc.ReadBufferSize(4<<10),
		grpc.WriteBufferSize(4<<10),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 30 * time.Second, MaxConnectionAge: time.Minute, MaxConnectionAgeGrace: 10 * time.Second,
		}),
	)
	writv1.RegisterEnrolmentServer(server, s)
	return server
}
