package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

const (
	inspectors = 4  // inspections at once
	inspectMax = 64 // inspections that wait; the hub asks again for what is passed over
	rehearsers = 4  // rehearsals at once
	rehearsMax = 32 // rehearsals that wait; likewise
	bundleMax  = 16 // bundles that wait for the handler
	// leasesEvery is how often Leases is said at most: what lives shorter need not be heard of.
	leasesEvery = 250 * time.Millisecond
)

// stream is one Connect, and what of it waits inside the spoke.
type stream struct {
	writv1.Spokes_ConnectClient
	bundles    chan []byte
	inspects   chan *writv1.Inspect
	rehearsals chan []byte
	greeted    bool // the hub has answered the Hello
}

// attend opens a stream and works on it until it ends, which is always an error. greeted is whether the hub let us in.
func (l *Link) attend(ctx context.Context, client writv1.SpokesClient) (greeted bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	connect, err := client.Connect(ctx)
	if err != nil {
		return false, err
	}
	s := &stream{Spokes_ConnectClient: connect, bundles: make(chan []byte, bundleMax), inspects: make(chan *writv1.Inspect, inspectMax),
		rehearsals: make(chan []byte, rehearsMax)}
	if err := l.hello(ctx, s); err != nil {
		return false, err
	}
	group.Go(func() error { return l.receive(ctx, s) })
	group.Go(func() error {
		if err := l.send(ctx, s); !errors.Is(err, io.EOF) {
			return err
		}
		return nil // the stream has ended; receive knows why
	})
	group.Go(func() error { return l.handle(ctx, s) })
	group.Go(func() error { return l.tellLeases(ctx) })
	for range inspectors {
		group.Go(func() error { return l.inspect(ctx, s) })
	}
	for range rehearsers {
		group.Go(func() error { return l.rehearse(ctx, s) })
	}
	err = group.Wait()
	return s.greeted, err
}

func (l *Link) hello(ctx context.Context, s *stream) error {
	epoch, sequence, digest, err := l.Journal.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the journal's head: %w", err)
	}
	var facts *writv1.ClusterFacts
	if l.Facts != nil {
		facts = l.Facts(ctx)
	}
	err = s.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Hello{Hello: &writv1.Hello{
		Head: &writv1.Head{Epoch: epoch, Sequence: sequence, Digest: digest}, Version: l.Version, ClusterUid: l.ClusterUID,
		At: timestamppb.Now(), Facts: facts, Trusting: l.Handler.Trusting()}}})
	if errors.Is(err, io.EOF) { // the stream has ended already; Recv knows why
		_, err = s.Recv()
	}
	return err
}

// receive sorts what comes down. It waits for the handler only where many bundles wait already.
func (l *Link) receive(ctx context.Context, s *stream) error {
	for {
		message, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the hub ended the stream")
		}
		if err != nil {
			return err
		}
		l.heardAt.Store(time.Now().UnixNano())
		if !s.greeted {
			s.greeted = true
			l.Log.InfoContext(ctx, "connected to the hub", "cluster", l.Cluster, "hub", l.Address)
		}
		switch body := message.GetBody().(type) {
		case *writv1.HubMessage_Bundle:
			select {
			case s.bundles <- body.Bundle:
			case <-ctx.Done():
				return ctx.Err()
			}
		case *writv1.HubMessage_Head:
			if err := l.Handler.Head(ctx, body.Head); err != nil {
				l.Log.ErrorContext(ctx, "the hub's head is not to be believed", "cluster", l.Cluster, "error", err)
			}
		case *writv1.HubMessage_EpochReset:
			if err := l.Handler.EpochReset(ctx, body.EpochReset); err != nil {
				l.Log.ErrorContext(ctx, "the hub's epoch reset is not to be believed", "cluster", l.Cluster, "error", err)
			}
		case *writv1.HubMessage_TrustRoots:
			l.trusts(ctx, l.Handler.TrustRoots(ctx, body.TrustRoots.GetRoots()))
		case *writv1.HubMessage_Authorities:
			l.trusts(ctx, l.Handler.Authorities(ctx, body.Authorities))
		case *writv1.HubMessage_Renewal:
			l.Handler.Renewal()
		case *writv1.HubMessage_Inspect:
			select {
			case s.inspects <- body.Inspect:
			default:
				l.Log.WarnContext(ctx, "passed over an inspection: too many wait", "cluster", l.Cluster, "id", body.Inspect.GetInspectId())
			}
		case *writv1.HubMessage_Rehearsal:
			select {
			case s.rehearsals <- body.Rehearsal:
			default:
				l.Log.WarnContext(ctx, "passed over a rehearsal: too many wait", "cluster", l.Cluster)
			}
		case *writv1.HubMessage_Acknowledge:
			if err := l.heard(ctx, body.Acknowledge); err != nil {
				return err
			}
		}
	}
}

// heard forgets what the hub has persisted.
func (l *Link) heard(ctx context.Context, a *writv1.Acknowledge) error {
	switch a.GetKind() {
	case writv1.Acknowledge_KIND_RECEIPT, writv1.Acknowledge_KIND_OUTCOME:
		if err := l.Journal.Delivered(ctx, a.GetKind(), a.GetId()); err != nil {
			return fmt.Errorf("note delivery in the journal: %w", err)
		}
	case writv1.Acknowledge_KIND_SIGNAL:
		l.acknowledged(a.GetId())
	}
	return nil
}

// handle hands on bundles, one at a time.
func (l *Link) handle(ctx context.Context, s *stream) error {
	for {
		select {
		case envelope := <-s.bundles:
			if err := l.Handler.Bundle(ctx, envelope); err != nil {
				return fmt.Errorf("take in a bundle: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellLeases says which credentials may be live, at first and whenever that has changed.
func (l *Link) tellLeases(ctx context.Context) error {
	if l.Leases == nil {
		return nil
	}
	for said := (*writv1.Leases)(nil); ; {
		now, err := l.Leases()
		if err != nil {
			return fmt.Errorf("read which credentials are live: %w", err)
		}
		if said == nil || !proto.Equal(said, now) {
			select {
			case l.outbox <- &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Leases{Leases: now}}:
			case <-ctx.Done():
				return ctx.Err()
			}
			said = now
		}
		select {
		case <-l.leased:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-time.After(leasesEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// inspect answers inspections; the answer is of use on this stream only.
func (l *Link) inspect(ctx context.Context, s *stream) error {
	for {
		select {
		case inspect := <-s.inspects:
			facts := l.Handler.Inspect(ctx, inspect)
			if facts == nil {
				continue
			}
			select {
			case l.outbox <- &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Facts{Facts: facts}}:
			case <-ctx.Done():
				return ctx.Err()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rehearse answers rehearsals. The hub asks again for an answer that was lost.
func (l *Link) rehearse(ctx context.Context, s *stream) error {
	for {
		select {
		case envelope := <-s.rehearsals:
			answer := l.Handler.Rehearse(ctx, envelope)
			if answer == nil {
				continue
			}
			select {
			case l.outbox <- &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Rehearsed{Rehearsed: answer}}:
			case <-ctx.Done():
				return ctx.Err()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
