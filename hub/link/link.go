// Package link is the hub's end of the connections that spokes open: bundles, heads and inspections go down; facts, signals,
// receipts and outcomes come up. People who operate the fleet call at the same port.
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

	"github.com/writ-dev/writ/api/capability"
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
	// Reset returns the statement of the root keys by which a cluster's epoch was last raised; nil where it was not.
	Reset(ctx context.Context, cluster string) (statement []byte, err error)
}

// Operators knows who operates the fleet.
type Operators interface {
	// Authorise returns the operator that a verified certificate speaks for now. Its refusals are gRPC statuses.
	Authorise(ctx context.Context, leaf *x509.Certificate) (user string, err error)
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
	// Head is the same as a signed envelope, made now; with what is frozen, for a spoke that holds freezes.
	Head(ctx context.Context, cluster string, capability uint32) ([]byte, error)
	// Confirm hears where a spoke stands, after its Hello was judged well.
	Confirm(ctx context.Context, cluster string, epoch, sequence uint64, digest string) error
}

// Deliveries hears how bundles arrived. An empty bundle ID stands for all up to the sequence.
type Deliveries interface {
	Taken(ctx context.Context, cluster string, epoch, sequence uint64, bundleID string) error
	Rejected(ctx context.Context, cluster string, sequence uint64, reason, detail string) error
}

// Answers hears what a spoke did and saw. Each returns nil once it need not hear it again: persisted, or known before.
type Answers interface {
	// Receipt comes with what was collected, if anything.
	Receipt(ctx context.Context, cluster, bundleID string, envelope, artefact []byte) error
	Outcome(ctx context.Context, cluster, bundleID string, envelope []byte) error
	Facts(ctx context.Context, cluster, inspectID string, facts []byte, problem string) error
}

// Rehearsals hears what came of a rehearsal; nil once it need not be heard again.
type Rehearsals interface {
	Rehearsed(ctx context.Context, cluster, rehearsalID string, envelope []byte) error
}

// Signals hears what a cluster observed; nil once persisted.
type Signals interface {
	Signal(ctx context.Context, cluster string, report *writv1.SignalReport) error
}

// Trust knows what spokes are to trust. A spoke judges for itself what it is told.
type Trust interface {
	// Tell is what a spoke that trusts these is to be told, and a mark of it: the same mark, the same news.
	Tell(cluster string, t *writv1.Trusting) (news []*writv1.HubMessage, mark string)
	// Holds hears what a spoke has on its disk; nil once persisted.
	Holds(ctx context.Context, cluster string, t *writv1.Trusting) error
}

// Presence is told who is there. It must not block.
type Presence interface {
	// Connected hears who was let in, and when the SVID ends with which it came.
	Connected(cluster string, hello *writv1.Hello, svidExpires time.Time)
	Disconnected(cluster string)
	// Leased hears which credentials a spoke says may be live.
	Leased(cluster string, leases *writv1.Leases)
	// Refused hears why an enrolled cluster's spoke was not let in: one line for people.
	Refused(cluster, why string)
}

// Parts are what a link is made of.
type Parts struct {
	Clusters   Clusters
	Renewer    Renewer
	Queue      Queue
	Heads      Heads
	Deliveries Deliveries
	Answers    Answers
	Rehearsals Rehearsals
	Signals    Signals
	Presence   Presence
	Trust      Trust // nil tells nobody anything
	Operators  Operators
	Operations writv1.OperatorsServer // what operators may call; nil serves none
	Heartbeat  time.Duration          // between two heads; 10 s where zero
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

// Inspect hands an inspection to a cluster's spoke. It never blocks; sent is false where the spoke is not connected or its
// inbox is full, and the caller asks again later. able is false where the spoke is there and does not know what a template is.
func (l *Link) Inspect(_ context.Context, cluster string, inspect *writv1.Inspect) (sent, able bool) {
	s := l.sessions.get(cluster)
	if s == nil {
		return false, true
	}
	if inspect.GetTemplateDigest() != "" && s.capability < capability.Templates {
		return false, false
	}
	return s.offer(&writv1.HubMessage{Body: &writv1.HubMessage_Inspect{Inspect: inspect}}), true
}

// Rehearse hands a signed rehearsal to a cluster's spoke. It never blocks; sent is false where the spoke is not connected or its
// inbox is full, and the caller asks again later. able is false where the spoke is there and would not understand.
func (l *Link) Rehearse(_ context.Context, cluster string, envelope []byte) (sent, able bool) {
	s := l.sessions.get(cluster)
	if s == nil {
		return false, true
	}
	if s.capability < capability.Rehearsals {
		return false, false
	}
	return s.offer(&writv1.HubMessage{Body: &writv1.HubMessage_Rehearsal{Rehearsal: envelope}}), true
}

// End closes the connection of a cluster whose identity has ended. It never blocks.
func (l *Link) End(cluster string) { l.sessions.end(cluster) }

// Announce has every connected spoke sent a head now. It never blocks.
func (l *Link) Announce() { l.sessions.announce() }

// Connected lists the clusters with a live stream, in no order.
func (l *Link) Connected() []string { return l.sessions.names() }
