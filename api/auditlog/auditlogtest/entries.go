// Package auditlogtest makes audit logs for tests: entries as a hub writes them, with receipts that are really signed, and
// folders as Tessera writes them. It is never imported by production code.
package auditlogtest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
)

// Noon is the time of all entries, and OrderEnds the end of all orders.
var (
	Noon      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	OrderEnds = Noon.Add(time.Hour)
	After     = OrderEnds.Add(time.Second)
)

// Spoke signs for one cluster.
type Spoke struct {
	t       testing.TB
	Cluster string
	key     *bundle.Key
	pem     string
}

// NewSpoke makes a spoke with a receipt key of its own.
func NewSpoke(t testing.TB, cluster string) Spoke {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key, err := bundle.NewSigner("", private)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	return Spoke{t, cluster, key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

// Request is the request of the action that the order is about.
func Request(order string) *auditlog.Request {
	return &auditlog.Request{Namespace: "team", Name: order, UID: "uid-" + order}
}

func (s Spoke) entry(kind auditlog.Type, order string) auditlog.Entry {
	return auditlog.Entry{Type: kind, Time: Noon, Cluster: s.Cluster, Request: Request(order)}
}

// Enrolment makes the entry about the spoke's enrolment.
func (s Spoke) Enrolment() auditlog.Entry {
	return auditlog.Entry{
		Type: auditlog.TypeEnrolment, Time: Noon, Cluster: s.Cluster,
		Enrolment: &auditlog.Enrolment{ClusterUID: "uid-" + s.Cluster, SVID: "spiffe://example.org/cluster/" + s.Cluster, ReceiptKey: s.pem},
	}
}

// Intent makes the entry that announces an order.
func (s Spoke) Intent(order string) auditlog.Entry {
	e := s.entry(auditlog.TypeIntent, order)
	e.Intent = &auditlog.Intent{
		Action: "rollback", Target: "Deployment web/shop", Tier: "medium", OrderID: order, OrderDigest: "sha256:" + order,
		OrderEnds: OrderEnds, PolicyDigest: "sha256:policy", Requester: "agent", Approvers: []string{"ada"},
	}
	return e
}

// Approval makes the entry about a person's word.
func (s Spoke) Approval(order string) auditlog.Entry {
	e := s.entry(auditlog.TypeApproval, order)
	e.Approval = &auditlog.Approval{Approver: "ada", Verdict: auditlog.Approve, Reason: "seen it", OrderDigest: "sha256:" + order}
	return e
}

// Refusal makes the entry about a refused request; digest is its order's, if one was made.
func (s Spoke) Refusal(order, digest string) auditlog.Entry {
	e := s.entry(auditlog.TypeRefusal, order)
	e.Refusal = &auditlog.Refusal{Step: "judge", Reason: "NoPolicy", Detail: "no policy matches", OrderDigest: digest}
	return e
}

// Expired makes the entry about a bundle that was not started.
func (s Spoke) Expired(order, bundleID string) auditlog.Entry {
	e := s.entry(auditlog.TypeExpired, order)
	e.Expired = &auditlog.Expired{BundleID: bundleID, BundleDigest: "sha256:" + bundleID, OrderDigest: "sha256:" + order, Sequence: 1}
	return e
}

// Carried makes the entry about what the hub has done itself.
func (s Spoke) Carried(order string) auditlog.Entry {
	e := s.entry(auditlog.TypeCarried, order)
	e.Carried = &auditlog.Carried{OrderDigest: "sha256:" + order, Change: "told on-call by chat"}
	return e
}

// Receipt makes the entry with a receipt that the spoke signs.
func (s Spoke) Receipt(order, bundleID string, result bundle.Result) auditlog.Entry {
	e := s.entry(auditlog.TypeReceipt, order)
	envelope, err := bundle.Seal(context.Background(), bundle.ReceiptType, bundle.Receipt{
		Cluster: s.Cluster, BundleID: bundleID, BundleDigest: "sha256:" + bundleID, Epoch: 1, Sequence: 1, OrderID: order,
		OrderDigest: "sha256:" + order, RequestID: e.Request.UID, Result: result, FinishedAt: Noon,
	}, s.key)
	require.NoError(s.t, err)
	e.Receipt = &auditlog.Receipt{BundleDigest: "sha256:" + bundleID, Sequence: 1, Envelope: envelope}
	return e
}

// Outcome makes the entry with an outcome that the spoke signs.
func (s Spoke) Outcome(order, bundleID string) auditlog.Entry {
	e := s.entry(auditlog.TypeOutcome, order)
	envelope, err := bundle.Seal(context.Background(), bundle.OutcomeType, bundle.Outcome{
		Cluster: s.Cluster, BundleID: bundleID, OrderID: order, OrderDigest: "sha256:" + order, RequestID: e.Request.UID,
		Result: bundle.CameTrue, Detail: "3 of 3 ready", ObservedAt: Noon,
	}, s.key)
	require.NoError(s.t, err)
	e.Outcome = &auditlog.Outcome{BundleDigest: "sha256:" + bundleID, Envelope: envelope}
	return e
}

// Root makes the entry about a version of the trust root, of content of its own.
func Root(version int64, digest, before string) auditlog.Entry {
	return auditlog.Entry{Type: auditlog.TypeTrustRoot, Time: Noon,
		TrustRoot: &auditlog.TrustRoot{Version: version, Digest: digest, Before: before, Expires: OrderEnds}}
}

// Step makes the entry about a step of a rotation of the CA.
func Step(step auditlog.AuthorityStep, signer, digest string) auditlog.Entry {
	return auditlog.Entry{Type: auditlog.TypeAuthority, Time: Noon, Authority: &auditlog.Authority{Step: step, Signer: signer, Digest: digest}}
}

// Life is all entries of a fleet of one cluster: an action from intent to outcome, one that expired, one refused.
func (s Spoke) Life() []auditlog.Entry {
	return []auditlog.Entry{
		s.Enrolment(),
		s.Approval("heal"), s.Intent("heal"), s.Receipt("heal", "b1", bundle.Applied), s.Outcome("heal", "b1"),
		s.Intent("late"), s.Expired("late", "b2"),
		s.Refusal("wild", ""),
		s.Intent("stale"), s.Refusal("stale", "sha256:stale"),
	}
}
