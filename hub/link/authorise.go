package link

import (
	"context"
	"crypto/x509"
	"time"

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
	operator
)

// methods lists every method with its caller. What is not listed, nobody may call.
var methods = map[string]who{
	writv1.Spokes_Renew_FullMethodName:   enrolledCluster,
	writv1.Spokes_Connect_FullMethodName: enrolledCluster,

	writv1.Operators_TrustRoot_FullMethodName:        operator,
	writv1.Operators_PublishTrustRoot_FullMethodName: operator,
	writv1.Operators_Authority_FullMethodName:        operator,
	writv1.Operators_RotateAuthority_FullMethodName:  operator,
}

// operateWithin bounds a call of an operator.
const operateWithin = 30 * time.Second

var errNotEnrolled = status.Error(codes.PermissionDenied, "this cluster is not, or no longer, enrolled: ask the fleet operator")

type callerKey struct{}

// caller is the cluster that authorise put into the context of every call.
func caller(ctx context.Context) Cluster { return ctx.Value(callerKey{}).(Cluster) }

func (l *Link) authoriseUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if methods[info.FullMethod] == operator {
		return l.operate(ctx, request, info.FullMethod, next)
	}
	c, err := l.authorise(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(context.WithValue(ctx, callerKey{}, c), request)
}

// operate is a call of an operator's method: who it was, and what came of it, is in the log.
func (l *Link) operate(ctx context.Context, request any, method string, next grpc.UnaryHandler) (any, error) {
	leaf, err := l.verified(ctx)
	if err != nil {
		return nil, err
	}
	log := l.Log.With("method", method, "id", leaf.URIs[0].String())
	user, err := l.Operators.Authorise(ctx, leaf)
	if err != nil {
		log.WarnContext(ctx, "refused a caller of an operator's method", "error", err)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, operateWithin)
	defer cancel()
	answer, err := next(ctx, request)
	log.InfoContext(ctx, "an operator called", "operator", user, "error", err)
	return answer, err
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
	leaf, err := l.verified(ctx)
	if err != nil {
		return Cluster{}, err
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

// verified is the certificate of the connection, which has not expired since.
func (l *Link) verified(ctx context.Context) (*x509.Certificate, error) {
	leaf := peerLeaf(ctx)
	switch {
	case leaf == nil:
		return nil, status.Error(codes.Unauthenticated, "this port is for callers with an SVID")
	case l.Now().After(leaf.NotAfter):
		return nil, status.Error(codes.Unauthenticated, "the SVID of this connection has expired: renew it and connect again")
	}
	return leaf, nil
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
