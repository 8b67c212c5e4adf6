package link

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/bundle"
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
	s := &session{cluster: caller(ctx), inbox: make(chan *writv1.HubMessage, inboxSize), news: make(chan struct{}, 1),
		accepted: make(chan struct{}), replaced: make(chan struct{}), revoked: make(chan struct{}), ended: make(chan struct{})}

	hello := make(chan *writv1.Hello, 1)
	received := make(chan error, 1)
	go func() { received <- l.receive(ctx, stream, s, hello) }()

	timer := time.NewTimer(helloWithin)
	defer timer.Stop()
	select {
	case h := <-hello:
		timer.Stop()
		if err := l.sendReset(ctx, stream, s.cluster, h); err != nil {
			return err
		}
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
	expires := peerLeaf(ctx).NotAfter
	s.capability = hello.GetVersion().GetCapability()
	before := l.sessions.enter(s, func() { l.Presence.Connected(s.cluster.Name, hello, expires) })
	defer l.sessions.leave(s, func() { l.Presence.Disconnected(s.cluster.Name) })
	if _, err := l.authorise(ctx, writv1.Spokes_Connect_FullMethodName); err != nil {
		close(s.ended)
		return err // the identity ended between the call's authorisation and the session's beginning
	}
	if t := hello.GetTrusting(); t != nil && s.capability >= capability.Rotations {
		if err := l.trusts(ctx, s, t); err != nil {
			close(s.ended)
			return err
		}
	}
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
	case <-s.revoked:
		err = errNotEnrolled
	}
	l.Log.InfoContext(ctx, "spoke disconnected", "cluster", s.cluster.Name, "error", err)
	return ended(err)
}

// sendReset shows a spoke that is behind the statement by which its cluster's epoch was raised, and has it connect again. The
// spoke judges it itself. It does nothing where there is no such statement, or the spoke would not understand it.
func (l *Link) sendReset(ctx context.Context, stream writv1.Spokes_ConnectServer, c Cluster, hello *writv1.Hello) error {
	if hello.GetHead().GetEpoch() >= c.Epoch || hello.GetVersion().GetCapability() < capability.EpochResets || hello.GetClusterUid() != c.UID {
		return nil
	}
	statement, err := l.Clusters.Reset(ctx, c.Name)
	if err != nil {
		l.Log.ErrorContext(ctx, "could not read the epoch reset", "cluster", c.Name, "error", err)
		return status.Error(codes.Unavailable, "the hub cannot read this cluster's record now: try again")
	}
	_, reset, no := bundle.OpenReset(statement)
	if len(statement) == 0 || no != nil || reset.Epoch != c.Epoch {
		return nil
	}
	if err := stream.Send(&writv1.HubMessage{Body: &writv1.HubMessage_EpochReset{EpochReset: statement}}); err != nil {
		return err
	}
	l.Log.InfoContext(ctx, "showed a spoke the epoch reset", "cluster", c.Name, "epoch", c.Epoch)
	return status.Error(codes.Aborted, "the root keys have reset this cluster's epoch: connect again")
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
		return l.refuseHello(ctx, c, "SequenceAhead: the spoke has taken bundles that this hub does not know: the hub was restored from an old backup, or somebody else signed: look at the cluster, then have the root keys reset its epoch (writ trust reset-epoch), or enrol it again")
	case head.GetSequence() == sequence && head.GetDigest() != digest:
		return l.refuseHello(ctx, c, "DigestMismatch: hub and spoke hold different bundles of the same sequence: compare the audit log with the journal")
	}
	if err := l.Heads.Confirm(ctx, c.Name, c.Epoch, head.GetSequence(), head.GetDigest()); err != nil {
		l.Log.WarnContext(ctx, "could not note where the spoke stands", "cluster", c.Name, "error", err)
		return status.Error(codes.Unavailable, "the hub cannot write down where this cluster stands now: try again")
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
	l.Presence.Refused(c.Name, reason)
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
