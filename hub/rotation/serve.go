package rotation

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// Server is writ.v1.Operators: what the door offers, for people elsewhere. Whoever serves it judges the caller.
func (r *Rotation) Server() writv1.OperatorsServer { return server{rotation: r} }

type server struct {
	writv1.UnimplementedOperatorsServer
	rotation *Rotation
}

// TrustRoot implements writv1.OperatorsServer.
func (s server) TrustRoot(ctx context.Context, _ *writv1.TrustRootRequest) (*writv1.TrustRootStatus, error) {
	return said(s.rotation.TrustStatus(ctx))
}

// PublishTrustRoot implements writv1.OperatorsServer.
func (s server) PublishTrustRoot(ctx context.Context, request *writv1.PublishTrustRootRequest) (*writv1.TrustRootStatus, error) {
	if _, err := s.rotation.Publish(ctx, request.GetRoots()); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return said(s.rotation.TrustStatus(ctx))
}

// Authority implements writv1.OperatorsServer.
func (s server) Authority(ctx context.Context, _ *writv1.AuthorityRequest) (*writv1.AuthorityStatus, error) {
	return said(s.rotation.StatusOfCA(ctx))
}

// RotateAuthority implements writv1.OperatorsServer.
func (s server) RotateAuthority(ctx context.Context, request *writv1.RotateAuthorityRequest) (*writv1.AuthorityStatus, error) {
	if err := s.rotation.RotateCA(ctx, request.GetHold(), request.GetLeaveBehind()); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return said(s.rotation.StatusOfCA(ctx))
}

// said is a status on the wire.
func said[M any](s interface{ wire() *M }, err error) (*M, error) {
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return s.wire(), nil
}

func (s TrustStatus) wire() *writv1.TrustRootStatus {
	out := &writv1.TrustRootStatus{Version: s.Version, Expires: stamp(s.Expires), Revoked: s.Revoked}
	for _, c := range s.Clusters {
		out.Clusters = append(out.Clusters, c.wire())
	}
	return out
}

func (s CAStatus) wire() *writv1.AuthorityStatus {
	out := &writv1.AuthorityStatus{Stage: string(s.Stage), Held: s.Held, Began: stamp(s.Began), Until: stamp(s.Until), Expires: stamp(s.Expires), Waits: s.Waits, Telling: s.Telling}
	for _, c := range s.Clusters {
		follower := c.wire()
		follower.TrustsAll, follower.SignedNew = c.TrustsAll, c.SignedNew
		out.Clusters = append(out.Clusters, follower)
	}
	return out
}

func (s Standing) wire() *writv1.Follower {
	return &writv1.Follower{Cluster: s.Cluster, Connected: s.Connected, Known: s.Known, At: stamp(s.At), Problem: s.Problem,
		RootVersion: s.RootVersion, Authorities: s.Authorities, SvidAuthority: s.SVIDAuthority}
}

// TrustStatusOf is a TrustStatus as it came over the wire.
func TrustStatusOf(m *writv1.TrustRootStatus) TrustStatus {
	s := TrustStatus{Version: m.GetVersion(), Expires: at(m.GetExpires()), Revoked: m.GetRevoked(), Behind: []string{}, Clusters: []Standing{}}
	for _, f := range m.GetClusters() {
		s.add(standingOf(f))
	}
	return s
}

// CAStatusOf is a CAStatus as it came over the wire.
func CAStatusOf(m *writv1.AuthorityStatus) CAStatus {
	s := CAStatus{Stage: identity.Stage(m.GetStage()), Held: m.GetHeld(), Began: at(m.GetBegan()), Until: at(m.GetUntil()), Expires: at(m.GetExpires()),
		Waits: append([]string{}, m.GetWaits()...), Telling: m.GetTelling(), Clusters: []CAStanding{}}
	for _, f := range m.GetClusters() {
		s.Clusters = append(s.Clusters, CAStanding{Standing: standingOf(f), TrustsAll: f.GetTrustsAll(), SignedNew: f.GetSignedNew()})
	}
	return s
}

func standingOf(f *writv1.Follower) Standing {
	return Standing{Cluster: f.GetCluster(), Connected: f.GetConnected(), Known: f.GetKnown(), Holding: Holding{RootVersion: f.GetRootVersion(),
		Authorities: f.GetAuthorities(), SVIDAuthority: f.GetSvidAuthority(), Problem: f.GetProblem(), At: at(f.GetAt())}}
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func at(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
