package link

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// maxWords bounds, in bytes, what a spoke says in words and the hub shows to people.
const maxWords = 512

// receive hears a spoke out, one message after the other: the next is read once this one is persisted. It ends with the
// stream. Nothing after the Hello is heard before the hello was judged.
func (l *Link) receive(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session, hello chan<- *writv1.Hello) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHello() == nil {
		return status.Error(codes.InvalidArgument, "the first message must be a Hello")
	}
	hello <- first.GetHello()
	select {
	case <-s.accepted:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		if message.GetHello() != nil {
			return status.Error(codes.InvalidArgument, "a second Hello on one stream")
		}
		if t := message.GetTrusting(); t != nil {
			if err := l.trusts(ctx, s, t); err != nil {
				l.Log.WarnContext(ctx, "could not note what a spoke trusts", "cluster", s.cluster.Name, "error", err)
			}
			continue
		}
		if leases := message.GetLeases(); leases != nil {
			l.Presence.Leased(s.cluster.Name, leases)
			continue
		}
		kind, id, err := l.hear(ctx, s.cluster.Name, message)
		if err != nil {
			// Not acknowledged, so the spoke says it again; the stream goes on for everything else.
			l.Log.WarnContext(ctx, "could not take in what a spoke said", "cluster", s.cluster.Name, "id", id, "error", err)
			continue
		}
		if kind == writv1.Acknowledge_KIND_UNSPECIFIED {
			continue
		}
		acknowledge := &writv1.HubMessage{Body: &writv1.HubMessage_Acknowledge{Acknowledge: &writv1.Acknowledge{Kind: kind, Id: id}}}
		select {
		case s.inbox <- acknowledge:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hear passes a message to whom it is for, under the name of the cluster that the connection proved. The kind is unspecified
// for what is never acknowledged, and for messages of a later capability, which are passed over.
func (l *Link) hear(ctx context.Context, cluster string, message *writv1.SpokeMessage) (writv1.Acknowledge_Kind, string, error) {
	switch body := message.GetBody().(type) {
	case *writv1.SpokeMessage_Receipt:
		id := body.Receipt.GetBundleId()
		return writv1.Acknowledge_KIND_RECEIPT, id, l.Answers.Receipt(ctx, cluster, id, body.Receipt.GetEnvelope(), body.Receipt.GetArtefact())
	case *writv1.SpokeMessage_Outcome:
		id := body.Outcome.GetBundleId()
		return writv1.Acknowledge_KIND_OUTCOME, id, l.Answers.Outcome(ctx, cluster, id, body.Outcome.GetEnvelope())
	case *writv1.SpokeMessage_Signal:
		return writv1.Acknowledge_KIND_SIGNAL, body.Signal.GetId(), l.Signals.Signal(ctx, cluster, body.Signal)
	case *writv1.SpokeMessage_Facts:
		id := body.Facts.GetInspectId()
		return writv1.Acknowledge_KIND_UNSPECIFIED, id, l.Answers.Facts(ctx, cluster, id, body.Facts.GetFacts(), clip(body.Facts.GetProblem()))
	case *writv1.SpokeMessage_Rehearsed:
		id := body.Rehearsed.GetBundleId()
		return writv1.Acknowledge_KIND_UNSPECIFIED, id, l.Rehearsals.Rehearsed(ctx, cluster, id, body.Rehearsed.GetEnvelope())
	case *writv1.SpokeMessage_Taken:
		id := body.Taken.GetBundleId()
		return writv1.Acknowledge_KIND_UNSPECIFIED, id, l.Deliveries.Taken(ctx, cluster, body.Taken.GetEpoch(), body.Taken.GetSequence(), id)
	case *writv1.SpokeMessage_Rejected:
		r := body.Rejected
		return writv1.Acknowledge_KIND_UNSPECIFIED, "", l.Deliveries.Rejected(ctx, cluster, r.GetSequence(), clip(r.GetReason()), clip(r.GetDetail()))
	}
	return writv1.Acknowledge_KIND_UNSPECIFIED, "", nil
}

func clip(words string) string { return strings.ToValidUTF8(words[:min(len(words), maxWords)], "") }
