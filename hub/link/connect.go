package link

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
)

// helloWithin is how long a stream may stay silent before its Hello.
const helloWithin = 20 * time.Second

// Connect implements writ.v1.Spokes. The handler itself only waits: one goroutine receives, one sends, and whichever ends
// first ends the stream, also when the other is stuck.
func (l *Link) Connect(stream writv1.Spokes_ConnectServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	s := &session{cluster: caller(ctx), inbox: make(chan *writv1.HubMessage, inboxSize),
		accepted: make(chan struct{}), replaced: make(chan struct{}), ended: make(chan struct{})}

	hello := make(chan *writv1.Hello, 1)
	received := make(chan error, 1)
	go func() { received <- l.receive(ctx, stream, s, hello) }()

	timer := time.NewTimer(helloWithin)
	defer timer.Stop()
	select {
	case h := <-hello:
		timer.Stop()
		if err := l.judgeHello(ctx, s.cluster, h); err != nil {
			return err
		}
		return l.attend(ctx, stream, s, h, received)
	case err := <-received:
		return ended(err)
	case <-timer.C:
		return status.Errorf(codes.DeadlineExceeded, "no Hello within %s", helloWithin)
	}
}

// attend runs a session from its Hello to its end.
func (l *Link) attend(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session, hello *writv1.Hello, received <-chan error) error {
	before := l.sessions.enter(s, func() { l.Presence.Connected(s.cluster.Name, hello) })
	defer l.sessions.leave(s, func() { l.Presence.Disconnected(s.cluster.Name) })
	close(s.accepted)
	l.Log.InfoContext(ctx, "spoke connected", "cluster", s.cluster.Name, "sequence", hello.GetHead().GetSequence(),
		"release", hello.GetVersion().GetRelease(), "replaced", before != nil)
	sent := make(chan error, 1)
	go func() {
		defer close(s.ended)
		if before != nil {
			<-before.ended // two readers of one wake channel would steal from each other; that one ends now
		}
		sent <- l.send(ctx, stream, s, hello.GetHead().GetSequence())
	}()
	var err error
	select {
	case err = <-sent:
	case err = <-received:
	case <-s.replaced:
		err = status.Error(codes.Aborted, "this cluster has connected anew")
	}
	l.Log.InfoContext(ctx, "spoke disconnected", "cluster", s.cluster.Name, "error", err)
	return ended(err)
}

// judgeHello compares what both ends believe. A difference is a finding: one of the two has lost or been given a history.
func (l *Link) judgeHello(ctx context.Context, c Cluster, hello *writv1.Hello) error {
	if peer := hello.GetVersion().GetCapability(); !capability.Compatible(peer) {
		return l.refuseHello(ctx, c, "VersionSkew: "+capability.Advice("spoke", peer))
	}
	if hello.GetClusterUid() != c.UID {
		return l.refuseHello(ctx, c, "AudienceMismatch: the spoke runs in another cluster than the one that enrolled: register a new name for it")
	}
	epoch, sequence, digest, err := l.Heads.Position(ctx, c.Name)
	if err != nil {
		l.Log.ErrorContext(ctx, "could not read the head", "cluster", c.Name, "error", err)
		return status.Error(codes.Unavailable, "the hub cannot read this cluster's queue now: try again")
	}
	if epoch != c.Epoch { // nothing was signed in this epoch yet
		sequence, digest = 0, ""
	}
	head := hello.GetHead()
	switch {
	case head.GetEpoch() != c.Epoch:
		return l.refuseHello(ctx, c, "EpochMismatch: the spoke's journal is of another enrolment: enrol this cluster again")
	case head.GetSequence() > sequence:
		return l.refuseHello(ctx, c, "SequenceAhead: the spoke has taken bundles that this hub does not know: the hub was restored from an old backup, or somebody else signed")
	case head.GetSequence() == sequence && head.GetDigest() != digest:
		return l.refuseHello(ctx, c, "DigestMismatch: hub and spoke hold different bundles of the same sequence: compare the audit log with the journal")
	}
	// Bundles that the journal holds leave the queue even where the word of it was lost.
	if head.GetSequence() > 0 {
		if err := l.Deliveries.Taken(ctx, c.Name, c.Epoch, head.GetSequence(), ""); err != nil {
			l.Log.WarnContext(ctx, "could not note what the spoke has taken", "cluster", c.Name, "error", err)
		}
	}
	return nil
}

func (l *Link) refuseHello(ctx context.Context, c Cluster, reason string) error {
	l.Log.ErrorContext(ctx, "refused a spoke's hello", "cluster", c.Name, "reason", reason)
	return status.Error(codes.FailedPrecondition, reason)
}

// ended is what a peer hears of how its stream ended: a status as it is, the peer's own end as nil, and of a fault only
// that there was one.
func ended(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, "the hub had a fault: connect again")
}
