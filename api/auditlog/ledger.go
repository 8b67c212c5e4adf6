package auditlog

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
)

// ledger follows what the entries say, in their order: who enrolled, which keys count, what was ordered, what was answered.
type ledger struct {
	keys     map[string][]enrolledKey // by cluster
	intents  map[string]*intent       // by order digest
	receipts map[string]bool          // bundle IDs with a receipt
	applied  map[string]string        // order digest to the bundle that was applied
	counts   map[Type]int
	signed   int // statements whose signature was good
	// root and authority are what was said last of the trust root and of the CA; nil before the first.
	root      *TrustRoot
	authority *Authority
	findings  []Finding
}

type enrolledKey struct {
	since uint64 // index of the enrolment
	pem   string
}

type intent struct {
	index    uint64
	entry    Entry
	answered bool
}

func newLedger() *ledger {
	return &ledger{
		keys: map[string][]enrolledKey{}, intents: map[string]*intent{}, receipts: map[string]bool{}, applied: map[string]string{},
		counts: map[Type]int{},
	}
}

// add takes the next entry.
func (l *ledger) add(ctx context.Context, index uint64, raw []byte) {
	e, err := Decode(raw)
	if err != nil {
		l.found(EntryInvalid, index, "%v", err)
		return
	}
	l.counts[e.Type]++
	switch e.Type {
	case TypeEnrolment:
		l.keys[e.Cluster] = append(l.keys[e.Cluster], enrolledKey{index, e.Enrolment.ReceiptKey})
	case TypeIntent:
		if known := l.intents[e.Intent.OrderDigest]; known == nil { // the same intent twice is one: a hub was killed in between
			l.intents[e.Intent.OrderDigest] = &intent{index: index, entry: e}
		}
	case TypeRefusal:
		if known := l.intents[e.Refusal.OrderDigest]; known != nil {
			known.answered = true
		}
	case TypeTrustRoot:
		l.published(index, e)
	case TypeAuthority:
		l.rotated(index, e)
	case TypeExpired:
		l.answer(index, e, e.Expired.OrderDigest)
	case TypeCarried:
		l.carried(index, e)
	case TypeReceipt:
		l.receipt(ctx, index, e)
	case TypeOutcome:
		l.outcome(ctx, index, e)
	}
}

// answer finds the intent that an entry answers.
func (l *ledger) answer(index uint64, e Entry, orderDigest string) *intent {
	known := l.intents[orderDigest]
	if known == nil {
		l.found(AnswerWithoutIntent, index, "%s for order %s, which the log never announced", e.Type, orderDigest)
		return nil
	}
	if known.entry.Cluster != e.Cluster || known.entry.Request.UID != e.Request.UID {
		l.found(AnswerMismatch, index, "%s by cluster %q for request %q, but the order (entry %d) was for cluster %q and request %q", e.Type,
			e.Cluster, e.Request.UID, known.index, known.entry.Cluster, known.entry.Request.UID)
		return nil
	}
	known.answered = true
	return known
}

// carried takes the hub's own word for what a hub can do, and for nothing that a spoke would have to sign.
func (l *ledger) carried(index uint64, e Entry) {
	known := l.intents[e.Carried.OrderDigest]
	if known != nil && !catalogue.OnHub(known.entry.Intent.Action) {
		l.found(AnswerMismatch, index, "the hub says that it has done %s itself (entry %d), which is done in a cluster alone", known.entry.Intent.Action, known.index)
		return
	}
	l.answer(index, e, e.Carried.OrderDigest)
}

func (l *ledger) receipt(ctx context.Context, index uint64, e Entry) {
	s, err := openReceipt(e)
	if err != nil { // Decode has tried before
		l.found(EntryInvalid, index, "%v", err)
		return
	}
	known := l.answer(index, e, s.orderDigest)
	l.checkSignature(ctx, index, s, known)
	l.receipts[s.bundleID] = true
	if s.result != string(bundle.Applied) {
		return
	}
	if before, twice := l.applied[s.orderDigest]; twice && before != s.bundleID {
		l.found(OrderAppliedTwice, index, "order %s was applied by bundle %s and again by bundle %s", s.orderDigest, before, s.bundleID)
	}
	l.applied[s.orderDigest] = s.bundleID
}

func (l *ledger) outcome(ctx context.Context, index uint64, e Entry) {
	s, err := openOutcome(e)
	if err != nil {
		l.found(EntryInvalid, index, "%v", err)
		return
	}
	if !l.receipts[s.bundleID] {
		l.found(OutcomeUnexplained, index, "an outcome of bundle %s, for which there is no receipt before it", s.bundleID)
	}
	l.checkSignature(ctx, index, s, l.intents[s.orderDigest])
}

// checkSignature accepts the key that the cluster had enrolled when the order was announced, or any since.
func (l *ledger) checkSignature(ctx context.Context, index uint64, s statement, about *intent) {
	keys := l.keys[s.cluster]
	if len(keys) == 0 {
		l.found(ClusterNotEnrolled, index, "cluster %q has not enrolled before this entry, so nobody can check its signature", s.cluster)
		return
	}
	first := len(keys) - 1
	for about != nil && first > 0 && keys[first].since > about.index {
		first--
	}
	for _, key := range keys[first:] {
		if s.signedBy(ctx, key.pem) == nil {
			l.signed++
			return
		}
	}
	l.found(SignatureInvalid, index, "not signed by the receipt key that cluster %q enrolled (entry %d)", s.cluster, keys[len(keys)-1].since)
}

// close looks for gaps: orders that have ended without anybody saying what became of them.
func (l *ledger) close(now time.Time) (waiting int) {
	var gaps []Finding
	for _, i := range l.intents {
		switch {
		case i.answered:
		case now.Before(i.entry.Intent.OrderEnds):
			waiting++
		default:
			gaps = append(gaps, aboutEntry(IntentUnanswered, i.index, "%s of %s in cluster %s (request %s) was ordered, its order ended %s, and there is no receipt, expiry or refusal",
				i.entry.Intent.Action, i.entry.Intent.Target, i.entry.Cluster, i.entry.Request.Name, i.entry.Intent.OrderEnds.Format(time.RFC3339)))
		}
	}
	slices.SortFunc(gaps, func(a, b Finding) int { return cmp.Compare(*a.Entry, *b.Entry) })
	l.findings = append(l.findings, gaps...)
	return waiting
}

func (l *ledger) found(reason Reason, index uint64, detail string, args ...any) {
	l.findings = append(l.findings, aboutEntry(reason, index, detail, args...))
}
