package link

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// who may call a method.
type who int

const (
	nobody who = iota
	enrolledCluster
)

// methods lists every method with its caller. What is not listed, nobody may call.
var methods = map[string]who{
	writv1.Spokes_Renew_FullMethodName:   enrolledCluster,
	writv1.Spokes_Connect_FullMethodName: enrolledCluster,
}

var errNotEnrolled = status.Error(codes.PermissionDenied, "this cluster is not, or no longer, enrolled: ask the fleet operator")

type callerKey struct{}

// caller is the cluster that authorise put into the context of every call.
func caller(ctx context.Context) Cluster { return ctx.Value(callerKey{}).(Cluster) }

func (l *Link) authoriseUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c, err := l.authorise(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(context.WithValue(ctx, callerKey{}, c), request)
}

func (l *Link) authoriseStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	c, err := l.authorise(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(server, authorised{stream, context.WithValue(stream.Context(), callerKey{}, c)})
}

type authorised struct {
	grpc.ServerStream
	ctx context.Context
}

func (a authorised) Context() context.Context { return a.ctx }

// authorise judges one call: the method's entry in the table, the certificate of the connection, the live record.
func (l *Link) authorise(ctx context.Context, method string) (Cluster, error) {
	if methods[method] != enrolledCluster {
		l.Log.WarnContext(ctx, "refused a call of a method that nobody may call", "method", method)
		return Cluster{}, status.Error(codes.PermissionDenied, "nobody may call this method")
	}
	leaf := peerLeaf(ctx)
	if leaf == nil {
		return Cluster{}, status.Error(codes.Unauthenticated, "this port is for spokes with an SVID")
	}
	if l.Now().After(leaf.NotAfter) {
		return Cluster{}, status.Error(codes.Unauthenticated, "the SVID of this connection has expired: renew it and connect again")
	}
	c, ok, err := l.Clusters.Authorise(ctx, leaf)
	if err != nil {
		l.Log.ErrorContext(ctx, "could not look up the caller", "method", method, "error", err)
		return Cluster{}, status.Error(codes.Unavailable, "the hub cannot look up this cluster now: try again")
	}
	if !ok {
		l.Log.WarnContext(ctx, "refused a caller without a live record", "method", method, "id", leaf.URIs[0].String())
		return Cluster{}, errNotEnrolled
	}
	return c, nil
}

// peerLeaf is the certificate that the connection's handshake verified; nil where there is none.
func peerLeaf(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}
