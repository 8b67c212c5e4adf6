package link

import (
	"context"
	"fmt"
	"time"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// send brings up notices as they come, and what is outstanding until it is acknowledged.
func (l *Link) send(ctx context.Context, s *stream) error {
	sent := map[string]time.Time{} // on this stream, by kind and ID
	again := time.NewTicker(l.Resend)
	defer again.Stop()
	for {
		if err := l.sendOutstanding(ctx, s, sent); err != nil {
			return err
		}
		for outstanding := false; !outstanding; {
			select {
			case message := <-l.outbox:
				if err := s.Send(message); err != nil {
					return err
				}
			case <-l.wake:
				outstanding = true
			case <-again.C:
				for key, at := range sent {
					if time.Since(at) >= l.Resend {
						delete(sent, key)
					}
				}
				outstanding = true
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// sendOutstanding sends the receipts, outcomes and signals that were not acknowledged and not sent just now.
func (l *Link) sendOutstanding(ctx context.Context, s *stream, sent map[string]time.Time) error {
	var messages []*writv1.SpokeMessage
	add := func(kind writv1.Acknowledge_Kind, id string, message *writv1.SpokeMessage) {
		key := kind.String() + "/" + id
		if _, ok := sent[key]; !ok {
			sent[key] = time.Now()
			messages = append(messages, message)
		}
	}
	err := l.Journal.Undelivered(ctx, func(kind writv1.Acknowledge_Kind, bundleID string, envelope, artefact []byte) {
		attestation := &writv1.Attestation{BundleId: bundleID, Envelope: envelope, Artefact: artefact}
		switch kind {
		case writv1.Acknowledge_KIND_RECEIPT:
			add(kind, bundleID, &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Receipt{Receipt: attestation}})
		case writv1.Acknowledge_KIND_OUTCOME:
			add(kind, bundleID, &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Outcome{Outcome: attestation}})
		}
	})
	if err != nil {
		return fmt.Errorf("read what is undelivered from the journal: %w", err)
	}
	for _, report := range l.waiting() {
		add(writv1.Acknowledge_KIND_SIGNAL, report.GetId(), &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Signal{Signal: report}})
	}
	for _, message := range messages {
		if err := s.Send(message); err != nil {
			return err
		}
	}
	return nil
}
