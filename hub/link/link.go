// Package link is the hub's end of the connections that spokes open: bundles, heads and inspections go down; facts, signals,
// receipts and outcomes come up.
//
// It promises that every call is judged against the live record of the cluster that the caller's certificate names, that a
// method nobody listed is refused, that what a spoke sent is acknowledged only once it is persisted, and that no spoke,
// stuck or hostile, delays another: nothing is locked across a send, and all that waits is bounded or read from the store.
// It never believes a cluster's name in a message, and it never signs.
package link

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// Cluster is what the live record says of a caller.
type Cluster struct {
	Name  string
	UID   string // of the namespace kube-system
	Epoch uint64
}

// Clusters knows the live records.
type Clusters interface {
	// Authorise returns the cluster that a verified certificate speaks for now; ok is false where there is none.
	Authorise(ctx context.Context, leaf *x509.Certificate) (c Cluster, ok bool, err error)
}

// Renewer makes the next SVID of a cluster. Its refusals are gRPC statuses.
type Renewer interface {
	Renew(ctx context.Context, cluster string, request *writv1.RenewRequest) (*writv1.RenewResponse, error)
}

// Queue holds what waits for a cluster, in order of sequence.
type Queue interface {
	// Next returns the first bundle after a sequence; ok is false where there is none yet.
	Next(ctx context.Context, cluster string, after uint64) (sequence uint64, envelope []byte, ok bool, err error)
	// Wake returns the channel that is written to, without blocking, when there may be something new.
	Wake(cluster string) <-chan struct{}
}

// Heads knows where a cluster's queue ends.
type Heads interface {
	// Position is the last sequence that was signed, and its epoch; zeros before the first.
	Position(ctx context.Context, cluster string) (epoch, sequence uint64, digest string, err error)
	// Head is the same as a signed envelope, made now.
	Head(ctx context.Context, cluster string) ([]byte, error)
}

// Deliveries hears how bundles arrived. An empty bundle ID stands for all up to the sequence.
type Deliveries interface {
	Taken(ctx context.Context, cluster string, epoch, sequence uint64, bundleID string) error
	Rejected(ctx context.Context, cluster string, sequence uint64, reason, detail string) error
}

// Answers hears what a spoke did and saw. Each returns nil once it need not hear it again: persisted, or known before.
type Answers interface {
	Receipt(ctx context.Context, cluster, bundleID string, envelope []byte) error
	Outcome(ctx context.Context, cluster, bundleID string, envelope []byte) error
	Facts(ctx context.Context, cluster, inspectID string, facts []byte, problem string) error
}

// Signals hears what a cluster observed; nil once persisted.
type Signals interface {
	Signal(ctx context.Context, cluster string, report *writv1.SignalReport) error
}

// Presence is told who is there. It must not block.
type Presence interface {
	Connected(cluster string, hello *writv1.Hello)
	Disconnected(cluster string)
}

// Parts are what a link is made of.
type Parts struct {
	Clusters   Clusters
	Renewer    Renewer
	Queue      Queue
	Heads      Heads
	Deliveries Deliveries
	Answers    Answers
	Signals    Signals
	Presence   Presence
	Heartbeat  time.Duration // between two heads; 10 s where zero
	Log        *slog.Logger
	Now        func() time.Time
}

// Link serves writ.v1.Spokes. Make it with New, register it on the server of NewServer.
type Link struct {
	writv1.UnimplementedSpokesServer
	Parts
	sessions sessions
}

// New makes a link.
func New(parts Parts) *Link {
	if parts.Heartbeat == 0 {
		parts.Heartbeat = 10 * time.Second
	}
	return &Link{Parts: parts, sessions: sessions{of: map[string]*session{}}}
}

// Renew implements writ.v1.Spokes: the identity is the caller's, the request contributes a key.
func (l *Link) Renew(ctx context.Context, request *writv1.RenewRequest) (*writv1.RenewResponse, error) {
	return l.Renewer.Renew(ctx, caller(ctx).Name, request)
}

// Inspect hands an inspection to a cluster's spoke. It never blocks; false where the spoke is not connected or its inbox is
// full, and the caller asks again later.
func (l *Link) Inspect(_ context.Context, cluster string, inspect *writv1.Inspect) bool {
	s := l.sessions.get(cluster)
	if s == nil {
		return false
	}
	select {
	case s.inbox <- &writv1.HubMessage{Body: &writv1.HubMessage_Inspect{Inspect: inspect}}:
		return true
	default:
		return false
	}
}

// Connected lists the clusters with a live stream, in no order.
func (l *Link) Connected() []string { return l.sessions.names() }
