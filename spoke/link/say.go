package link

import (
	"context"

	"github.com/writ-dev/writ/api/refusal"
	writv1 "github.com/writ-dev/writ/api/writv1"
)

// Taken says that a bundle is in the journal. It never blocks; where the hub is away for long the notice may be dropped,
// because the next Hello and the receipt say the same.
func (l *Link) Taken(epoch, sequence uint64, bundleID string) {
	l.notice(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Taken{
		Taken: &writv1.Taken{Epoch: epoch, Sequence: sequence, BundleId: bundleID}}})
}

// Rejected says that bytes from the hub were no bundle for this spoke. It never blocks.
func (l *Link) Rejected(sequence uint64, reason, detail string) {
	l.notice(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Rejected{
		Rejected: &writv1.Rejected{Sequence: sequence, Reason: reason, Detail: detail}}})
}

// Trusts says what the spoke trusts now. It never blocks; the next Hello says the same.
func (l *Link) Trusts() { l.trusts(context.Background(), nil) }

// trusts says what the spoke trusts, and why that is not what it was sent.
func (l *Link) trusts(ctx context.Context, problem error) {
	t := l.Handler.Trusting()
	if problem != nil {
		l.Log.ErrorContext(ctx, "the hub's word on whom to trust is not taken", "cluster", l.Cluster, "error", problem)
		t.Problem = refusal.OneLine(problem.Error())
	}
	l.notice(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Trusting{Trusting: t}})
}

// Attested says that the journal holds a new receipt or outcome. It never blocks; the journal is the outbox.
func (l *Link) Attested() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Signal takes a report, which is sent until the hub acknowledges it. It never blocks; false where too many wait already,
// and the caller reports again later. The caller must not change the report any more.
func (l *Link) Signal(report *writv1.SignalReport) bool {
	l.mu.Lock()
	room := len(l.signals) < maxSignals
	if room {
		l.signals = append(l.signals, report)
	}
	l.mu.Unlock()
	l.Attested()
	return room
}

// acknowledged drops a signal that the hub has persisted.
func (l *Link) acknowledged(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, report := range l.signals {
		if report.GetId() == id {
			l.signals = append(l.signals[:i:i], l.signals[i+1:]...)
			return
		}
	}
}

// waiting is a snapshot of the signals not yet acknowledged, oldest first.
func (l *Link) waiting() []*writv1.SignalReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signals[:len(l.signals):len(l.signals)]
}

func (l *Link) notice(message *writv1.SpokeMessage) {
	select {
	case l.outbox <- message:
	default:
		l.Log.Warn("dropped a notice to the hub: too many wait", "cluster", l.Cluster)
	}
}
