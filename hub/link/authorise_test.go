package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

func TestEveryMethodHasItsCaller(t *testing.T) {
	listed := 0
	for service, caller := range map[*grpc.ServiceDesc]who{&writv1.Spokes_ServiceDesc: enrolledCluster, &writv1.Operators_ServiceDesc: operator} {
		for _, m := range service.Methods {
			require.Equal(t, caller, methods["/"+service.ServiceName+"/"+m.MethodName], m.MethodName)
			listed++
		}
		for _, s := range service.Streams {
			require.Equal(t, caller, methods["/"+service.ServiceName+"/"+s.StreamName], s.StreamName)
			listed++
		}
	}
	require.Len(t, methods, listed)
}

func TestAMethodThatIsNotListedIsRefused(t *testing.T) {
	w := newWorld(t, time.Hour)
	_, err := w.link.authorise(t.Context(), "/writ.v1.Spokes/Anything")
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	_, err = w.link.authorise(t.Context(), writv1.Spokes_Renew_FullMethodName)
	require.Equal(t, codes.Unauthenticated, status.Code(err), "no certificate")
}

func TestTheLiveRecordIsAskedPerCall(t *testing.T) {
	w := newWorld(t, time.Hour)
	client := w.client(t, "east")
	response, err := client.Renew(t.Context(), &writv1.RenewRequest{})
	require.NoError(t, err)
	require.Equal(t, "east", string(response.GetAuthorities()), "the name is the certificate's")
	w.mu.Lock()
	w.revoked["east"] = true
	w.mu.Unlock()
	_, err = client.Renew(t.Context(), &writv1.RenewRequest{}) // the same connection
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	stream, err := client.Connect(t.Context())
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
}

// An identity that ends takes its open stream with it, and no other; a stream that was being opened just then does not begin.
func TestAStreamEndsWithItsIdentity(t *testing.T) {
	w := newWorld(t, time.Hour)
	client := w.client(t, "east")
	east, west := w.connect(t, client, "east"), w.connect(t, w.client(t, "west"), "west")
	opening, err := client.Connect(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(w.link.Connected()) == 2 }, patience, time.Millisecond)
	w.mu.Lock()
	w.revoked["east"] = true
	w.mu.Unlock()
	for range 2 {
		w.link.End("east")
		w.link.End("nobody")
	}
	_, err = east.Recv()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	_ = opening.Send(hello("east", 0, "")) // an error where it is refused already
	_, err = opening.Recv()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Eventually(t, func() bool { return len(w.link.Connected()) == 1 }, patience, time.Millisecond)

	w.put("east", []byte("sealed"))
	w.put("west", []byte("one"))
	message, err := west.Recv()
	require.NoError(t, err)
	require.Equal(t, "one", string(message.GetBundle()))
}

func TestACertificateSpeaksForItsClusterAlone(t *testing.T) {
	w := newWorld(t, time.Hour)
	stream, err := w.client(t, "west").Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(hello("east", 0, "")))
	_, err = stream.Recv()
	require.Equal(t, codes.FailedPrecondition, status.Code(err), "the UID is east's")

	own := w.connect(t, w.client(t, "west"), "west")
	w.put("east", []byte("for east"))
	require.NoError(t, own.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Receipt{Receipt: &writv1.Attestation{BundleId: "east's"}}}))
	message, err := own.Recv()
	require.NoError(t, err)
	require.NotNil(t, message.GetAcknowledge(), "and no bundle of east")
	require.Equal(t, []string{"west receipt east's "}, w.words(), "whatever it says, it says as west")
}

func TestWithoutAnSVIDThereIsNoConnection(t *testing.T) {
	w := newWorld(t, time.Hour)
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(credentials.NewTLS(identity.EnrolClientTLS(w.ca.Authorities()))))
	require.NoError(t, err)
	defer conn.Close()
	_, err = writv1.NewSpokesClient(conn).Renew(t.Context(), &writv1.RenewRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))
}
