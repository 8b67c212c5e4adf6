package link

import (
	"context"
	"time"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// tellAgain is how long a spoke may be silent about what it was told to trust before it is told again.
const tellAgain = 30 * time.Second

// sendTrust tells a spoke what it is to trust, where that is something else than what it said it has.
func (l *Link) sendTrust(ctx context.Context, stream writv1.Spokes_ConnectServer, s *session) error {
	t := s.trusting.Load()
	if t == nil || l.Trust == nil {
		return nil
	}
	news, mark := l.Trust.Tell(s.cluster.Name, t)
	if now := time.Now(); mark != s.told || now.Sub(s.toldAt) > tellAgain {
		for _, message := range news {
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		if len(news) > 0 {
			l.Log.InfoContext(ctx, "told a spoke what to trust", "cluster", s.cluster.Name, "what", mark)
		}
		s.told, s.toldAt = mark, now
	}
	return nil
}

// trusts notes what a spoke said that it trusts, and has the sender see whether that is all.
func (l *Link) trusts(ctx context.Context, s *session, t *writv1.Trusting) error {
	if l.Trust == nil {
		return nil
	}
	if err := l.Trust.Holds(ctx, s.cluster.Name, t); err != nil {
		return err
	}
	s.trusting.Store(t)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return nil
}
