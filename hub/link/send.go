package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/bundle"
	writv1 "github.com/writ-dev/writ/api/writv1"
)

// send brings a stream everything that goes down, until the stream ends. What waits in the queue stays in the store; a spoke
// that does not read holds this goroutine and one bundle, and nothing else.
func (l *Link) send(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session, after uint64) error {
	if err := l.sendHead(ctx, stream, s); err != nil {
		return err
	}
	heartbeat := time.NewTicker(l.Heartbeat)
	defer heartbeat.Stop()
	wake := l.Queue.Wake(s.cluster.Name)
	atOnce := make(chan struct{})
	close(atOnce)
	for {
		sequence, envelope, ok, err := l.Queue.Next(ctx, s.cluster.Name, after)
		if err != nil {
			return fmt.Errorf("read the queue of cluster %s: %w", s.cluster.Name, err)
		}
		more := wake
		if ok {
			if err := l.sendNews(ctx, stream, s); err != nil { // what was signed after a thaw comes after the thaw
				return err
			}
			if err := stream.Send(&writv1.HubMessage{Body: &writv1.HubMessage_Bundle{Bundle: envelope}}); err != nil {
				return err
			}
			after, more = sequence, atOnce // there may be another; what else waits has its chance in between
		}
		if err := l.sendOther(ctx, stream, s, more, heartbeat.C); err != nil {
			return err
		}
	}
}

// sendOther waits until there may be a bundle, or sends the next thing that is none.
func (l *Link) sendOther(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session, bundle <-chan struct{}, heartbeat <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-bundle:
		return nil
	case message := <-s.inbox:
		return stream.Send(message)
	case <-s.news:
		return l.sendHead(ctx, stream, s)
	case <-heartbeat:
		return l.sendHead(ctx, stream, s)
	}
}

// sendNews sends a head where one was announced.
func (l *Link) sendNews(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session) error {
	select {
	case <-s.news:
		return l.sendHead(ctx, stream, s)
	default:
		return nil
	}
}

// sendHead is the heartbeat. It asks again whether the cluster is welcome, because a stream is one call that lasts.
func (l *Link) sendHead(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session) error {
	c, err := l.authorise(ctx, writv1.Spokes_Connect_FullMethodName)
	if err != nil {
		return err
	}
	if c != s.cluster {
		return status.Error(codes.Aborted, "this cluster was enrolled anew: connect again")
	}
	if err := l.sendTrust(ctx, stream, s); err != nil { // first: the head may be by a key that the spoke is about to learn
		return err
	}
	envelope, err := l.Heads.Head(ctx, c.Name, s.capability)
	if errors.Is(err, bundle.ErrAway) { // the stream is good for all else; the next heartbeat tries again
		l.Log.WarnContext(ctx, "a head is not signed", "cluster", c.Name, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("sign the head of cluster %s: %w", c.Name, err)
	}
	return stream.Send(&writv1.HubMessage{Body: &writv1.HubMessage_Head{Head: envelope}})
}
