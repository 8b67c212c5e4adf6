package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

// hub is a gateway on a real store, with the rest of the hub and a spoke steered by the test.
type hub struct {
	t        *testing.T
	f        *trusttest.Fixture
	receipts *bundle.Key
	store    *failing
	gw       *gateway.Gateway
	stop     func()

	mu        sync.Mutex
	now       time.Time
	policies  *policy.Set
	facts     catalogue.Facts
	away      bool                           // the spoke is not connected
	old       bool                           // the spoke is of a release that cannot rehearse
	ancient   bool                           // it knows no actions of a site's own
	lowered   catalogue.Tier                 // to which the cluster's own policy agrees
	templates map[string]template.Definition // in force; nil while they are not known
	rehearse  func(*bundle.Rehearsed) []byte // what the spoke says of a rehearsal; nil says nothing
	asked     [][]byte                       // rehearsals that reached the spoke
	entries   []auditlog.Entry
	last      map[string]gateway.Record
	frozen    []gateway.Freeze  // as declared
	resets    uint64            // of the cluster's epoch
	undos     []gateway.Request // that were asked for
	drift     []catalogue.Drift // what the spoke sees of the next outcome: a miss where there is any
	groups    []gateway.Group   // who is asked to approve
}

// failing is a store that fails the nth commit from now, before or after it was made: a crash at that point.
type failing struct {
	store.Store
	mu     sync.Mutex
	in     int
	after  bool
	hit    bool
	counts int
}

var errCrash = errors.New("crash")

func (s *failing) Commit(ctx context.Context, ops ...store.Op) error {
	s.mu.Lock()
	s.counts++
	s.in--
	now, after := s.in == 0, s.after
	s.hit = s.hit || now
	s.mu.Unlock()
	if now && !after {
		return errCrash
	}
	err := s.Store.Commit(ctx, ops...)
	if now && after && err == nil {
		return errCrash
	}
	return err
}

func newHub(t *testing.T) *hub {
	t.Helper()
	records, err := badgerstore.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = records.Close() })
	f := trusttest.New(t)
	h := &hub{t: t, f: f, receipts: f.Keys(1)[0], store: &failing{Store: records}, now: f.Now, last: map[string]gateway.Record{},
		facts: catalogue.Facts{UID: "d1", Generation: 7, ObservedGeneration: 7, Replicas: 4, ReadyReplicas: 4, Revision: 2, HealthyRevision: 1}}
	h.allow(v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}})
	h.rehearse = h.vouch
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

// SignerFor implements gateway.Signers.
func (h *hub) SignerFor(string) (bundle.Signer, error) { return h.f.Gateway, nil }

func (h *hub) start() {
	h.gw = gateway.New(gateway.Parts{Store: h.store, Clusters: h, Inspector: h, Rehearser: h, Policies: h, Templates: h, Audit: h, Projector: h, Undoer: h,
		Root: h.f.Root, Signers: h,
		Limits: gateway.Limits{QueuePerCluster: 4, PerMinute: 1000, RelaxedFor: time.Hour, NodesOutPercent: 25}, Groups: h.groups, Notifier: h, Tracer: noop.NewTracerProvider().Tracer(""),
		Log: slog.New(slog.DiscardHandler), Now: h.clock})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	gw := h.gw
	go func() { defer close(done); _ = gw.Run(ctx) }()
	h.repeat(func() error { return gw.Freeze(ctx, h.frozen) })
	h.stop = func() { cancel(); <-done }
}

// restart is what is left after a crash: the store.
func (h *hub) restart() {
	h.stop()
	h.start()
}

func (h *hub) clock() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

// pass lets time go by while no gateway runs: timers run on the real clock, and a start looks at every open record.
func (h *hub) pass(d time.Duration) {
	h.stop()
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
	h.start()
}

func (h *hub) allow(list ...v1alpha1.ActionPolicy) {
	set, err := policy.Compile(list)
	require.NoError(h.t, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policies = set
}

func (h *hub) Policies() *policy.Set { h.mu.Lock(); defer h.mu.Unlock(); return h.policies }

func (h *hub) Labels(string) map[string]string { return map[string]string{"stage": "production"} }

func (h *hub) Clusters() int { return 4 }

func (h *hub) Enrolled(_ context.Context, cluster string) (gateway.Enrolled, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return gateway.Enrolled{Audience: h.f.Audience, Epoch: 1 + h.resets, ReceiptKey: h.receipts}, cluster == "east" || cluster == "north", nil
}

func (h *hub) Inspect(_ context.Context, cluster string, inspect *writv1.Inspect) (sent, able bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ancient && inspect.GetTemplateDigest() != "" {
		return false, false
	}
	if h.away {
		return false, true
	}
	raw, problem := mustJSON(h.facts), ""
	if h.facts.UID == "" {
		raw, problem = nil, "there is no such object"
	}
	gw := h.gw
	go func() { _ = gw.Facts(context.Background(), cluster, inspect.InspectId, raw, problem) }()
	return true, true
}

func (h *hub) Append(_ context.Context, entries ...auditlog.Entry) (indices []uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range entries {
		if _, err := auditlog.Encode(e); err != nil {
			return nil, err
		}
		h.entries = append(h.entries, e)
		indices = append(indices, uint64(len(h.entries)-1))
	}
	return indices, nil
}

func (h *hub) Project(r gateway.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[r.Request.ID] = r
}

func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func request(id, action, parameters string) gateway.Request {
	return gateway.Request{ID: id, Namespace: "default", Name: "r-" + id, Cluster: "east", Action: action, Requester: "alice",
		Target:     catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout-" + id},
		Parameters: json.RawMessage(parameters), CreatedAt: time.Now()}
}

func (h *hub) submit(r gateway.Request) {
	h.t.Helper()
	require.NoError(h.t, h.gw.Submit(context.Background(), r))
}

// until waits for a phase of a request.
func (h *hub) until(id string, phase v1alpha1.Phase) gateway.Record {
	h.t.Helper()
	var r gateway.Record
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		r = h.last[id]
		if r.Request.ID == "" {
			return false
		}
		got, _ := r.Phase()
		return got == phase
	}, 10*time.Second, 2*time.Millisecond, "phase %s; is %s", phase, explain(&r))
	return r
}

func explain(r *gateway.Record) string {
	if r.Request.ID == "" {
		return "unknown"
	}
	phase, message := r.Phase()
	return fmt.Sprintf("%s: %s", phase, message)
}

// answer is the spoke's: it takes the bundle, executes it, and says what came true.
func (h *hub) answer(r gateway.Record) {
	h.t.Helper()
	ctx := context.Background()
	d, no := bundle.Decode(r.Bundle.Envelope)
	require.Nil(h.t, no)
	require.NoError(h.t, h.gw.Taken(ctx, "east", r.Bundle.Epoch, r.Bundle.Sequence, r.Bundle.ID))
	h.repeat(func() error { return h.gw.Receipt(ctx, "east", r.Bundle.ID, h.receipt(d, nil), nil) })
	h.repeat(func() error { return h.gw.Outcome(ctx, "east", r.Bundle.ID, h.outcome(d)) })
}

// repeat does what the link does: say it again until it is acknowledged.
func (h *hub) repeat(say func() error) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return say() == nil }, 5*time.Second, time.Millisecond)
}

func (h *hub) receipt(d *bundle.Decoded, no *refusal.Refusal) []byte {
	receipt := bundle.Receipt{Cluster: "east", BundleID: d.Bundle.ID, BundleDigest: d.Digest, Epoch: d.Bundle.Epoch, Sequence: d.Bundle.Sequence,
		OrderID: d.Order.ID, OrderDigest: d.OrderDigest, RequestID: d.Order.RequestID, Result: bundle.Applied, Change: "changed", FinishedAt: h.clock()}
	if no != nil {
		receipt.Result, receipt.Refusal = bundle.Refused, no
	}
	raw, err := bundle.Seal(context.Background(), bundle.ReceiptType, receipt, h.receipts)
	require.NoError(h.t, err)
	return raw
}

func (h *hub) outcome(d *bundle.Decoded) []byte {
	outcome := bundle.Outcome{Cluster: "east", BundleID: d.Bundle.ID, OrderID: d.Order.ID,
		OrderDigest: d.OrderDigest, RequestID: d.Order.RequestID, Result: bundle.CameTrue, Detail: "5/5", ObservedAt: h.clock()}
	if len(h.drift) > 0 {
		outcome.Result, outcome.Detail, outcome.Drift = bundle.DidNot, "3/5 ready", h.drift
	}
	raw, err := bundle.Seal(context.Background(), bundle.OutcomeType, outcome, h.receipts)
	require.NoError(h.t, err)
	return raw
}

func (h *hub) word(id, approver string, approve bool) {
	h.t.Helper()
	h.mu.Lock()
	digest := h.last[id].OrderDigest
	h.mu.Unlock()
	h.repeat(func() error {
		return h.gw.Hear(context.Background(), id, gateway.Word{ID: "w-" + approver, Approver: approver, Approve: approve, OrderDigest: digest, At: h.clock()})
	})
}

// logged lists the types of the audit log's entries about a request.
func (h *hub) logged(id string) (types []auditlog.Type) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.entries {
		if e.Request != nil && e.Request.UID == id {
			types = append(types, e.Type)
		}
	}
	return types
}

// signed counts what was signed for the cluster.
func (h *hub) signed() uint64 {
	_, sequence, _, err := h.gw.Position(context.Background(), "east")
	require.NoError(h.t, err)
	return sequence
}

func TestALowActionRunsAtOnce(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "scale", `{"replicas":5}`))
	r := h.until("a", v1alpha1.PhaseDispatched)
	d, no := bundle.Decode(r.Bundle.Envelope)
	require.Nil(t, no)
	authentic, no := trust.Authenticate(t.Context(), d, h.f.Root, trust.Expect{Audience: h.f.Audience, Epoch: 1})
	require.Nil(t, no)
	_, no = trust.Judge(t.Context(), authentic, h.clock())
	require.Nil(t, no, "the spoke's kernel agrees with the gateway")
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent}, h.logged("a"), "the intent is logged before anything is sent")
	h.answer(r)
	r = h.until("a", v1alpha1.PhaseSucceeded)
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeReceipt, auditlog.TypeOutcome}, h.logged("a"))
	require.JSONEq(t, `{"replicas":4}`, string(r.Inverse().Parameters))
	_, _, waiting, err := h.gw.Next(t.Context(), "east", 0)
	require.NoError(t, err)
	require.False(t, waiting, "the queue is empty")
}

func TestAMediumActionWaitsForSomebodyElse(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "rollback", ``))
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.word("a", "alice", true) // her own request
	require.NoError(t, h.gw.Hear(t.Context(), "a", gateway.Word{ID: "w2", Approver: "bob", Approve: true, OrderDigest: "sha256:another"}))
	require.Never(t, func() bool { return h.signed() > 0 }, 200*time.Millisecond, 20*time.Millisecond)
	h.word("a", "carol", true)
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseSucceeded)
	require.ElementsMatch(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeApproval, auditlog.TypeReceipt, auditlog.TypeOutcome}, h.logged("a"))
}

// Every refusal is in the record with its reason, on the audit log, and nothing was signed.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*hub)
		request gateway.Request
		then    func(*hub)
		phase   v1alpha1.Phase
		reason  refusal.Reason
	}{
		"unknown action":          {request: request("a", "exec", ``), reason: refusal.ActionUnknown},
		"parameter out of schema": {request: request("a", "scale", `{"replicas":-1}`), reason: refusal.ParametersInvalid},
		"kind not of the action": {request: func() gateway.Request {
			r := request("a", "scale", `{"replicas":1}`)
			r.Target.Kind = "DaemonSet"
			return r
		}(), reason: refusal.TargetKindNotAllowed},
		"unknown cluster": {request: func() gateway.Request {
			r := request("a", "scale", `{"replicas":5}`)
			r.Cluster = "south"
			return r
		}(), reason: refusal.ClusterUnknown},
		"target does not exist": {prepare: func(h *hub) { h.facts = catalogue.Facts{} }, request: request("a", "scale", `{"replicas":5}`), reason: refusal.TargetNotFound},
		"no policy":             {prepare: func(h *hub) { h.allow() }, request: request("a", "scale", `{"replicas":5}`), reason: refusal.NoPolicy},
		"denied": {request: request("a", "rollback", ``), then: func(h *hub) {
			h.until("a", v1alpha1.PhaseAwaitingApproval)
			h.word("a", "bob", false)
		}, reason: refusal.Denied},
		"nobody approved": {request: request("a", "rollback", ``), then: func(h *hub) {
			h.until("a", v1alpha1.PhaseAwaitingApproval)
			h.pass(bundle.OrderLife + time.Minute)
		}, phase: v1alpha1.PhaseExpired, reason: refusal.ApprovalExpired},
		"policies changed": {request: request("a", "rollback", ``), then: func(h *hub) {
			h.until("a", v1alpha1.PhaseAwaitingApproval)
			h.allow(v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: v1alpha1.ActionPolicySpec{
				MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}})
			h.word("a", "bob", true)
		}, reason: refusal.PolicyChanged},
		"the spoke is away for an hour": {prepare: func(h *hub) { h.away = true }, request: request("a", "scale", `{"replicas":5}`), then: func(h *hub) {
			h.until("a", v1alpha1.PhasePending)
			h.pass(2 * time.Hour)
		}, phase: v1alpha1.PhaseExpired, reason: refusal.RequestExpired},
		"target busy": {prepare: func(h *hub) {
			h.submit(request("b", "rollback", ``))
			h.until("b", v1alpha1.PhaseAwaitingApproval)
		}, request: func() gateway.Request {
			r := request("a", "scale", `{"replicas":5}`)
			r.Target.Name = "checkout-b"
			return r
		}(), reason: refusal.TargetBusy},
		"queue full": {prepare: func(h *hub) {
			for _, id := range []string{"p", "q", "r", "s"} {
				h.submit(request(id, "scale", `{"replicas":5}`))
				h.until(id, v1alpha1.PhaseDispatched)
			}
		}, request: request("a", "scale", `{"replicas":5}`), reason: refusal.QueueFull},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			if tc.prepare != nil {
				tc.prepare(h)
			}
			before := h.signed()
			h.submit(tc.request)
			if tc.then != nil {
				tc.then(h)
			}
			if tc.phase == "" {
				tc.phase = v1alpha1.PhaseRefused
			}
			r := h.until("a", tc.phase)
			require.Equal(t, tc.reason, r.Refusal.Reason, r.Refusal.Detail)
			require.NotContains(t, r.Refusal.String(), "\n")
			require.Contains(t, h.logged("a"), auditlog.TypeRefusal)
			require.NotContains(t, h.logged("a"), auditlog.TypeIntent)
			require.Equal(t, before, h.signed(), "nothing was signed")
		})
	}
}

// What nobody signed, or the wrong one, is not believed and changes nothing.
func TestForgedWordsOfASpoke(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "scale", `{"replicas":5}`))
	r := h.until("a", v1alpha1.PhaseDispatched)
	d, _ := bundle.Decode(r.Bundle.Envelope)
	genuine := h.receipt(d, nil)
	own := h.receipts
	h.receipts = h.f.Keys(1)[0]
	forged := h.receipt(d, nil)
	h.receipts = own
	require.ErrorIs(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, forged, nil), gateway.ErrNotOurs)
	require.ErrorIs(t, h.gw.Receipt(t.Context(), "west", r.Bundle.ID, genuine, nil), gateway.ErrNotOurs)
	require.ErrorIs(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, genuine[1:], nil), gateway.ErrNotOurs)
	large := append(slices.Clip(genuine), bytes.Repeat([]byte{' '}, 32<<10)...)
	require.ErrorContains(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, large, nil), "TooLarge", "it must fit into the audit log")
	d.Order.RequestID, d.Digest = "a", "sha256:another"
	require.NoError(t, h.gw.Receipt(t.Context(), "east", r.Bundle.ID, h.receipt(d, nil), nil), "signed, but about another bundle: taken note of, no effect")
	require.Never(t, func() bool { return len(h.logged("a")) > 1 }, 200*time.Millisecond, 20*time.Millisecond)
}

// A spoke that was away takes the bundle when it is back, refuses it as expired, and the request says so; one that had taken
// it in time is believed.
func TestExpiryIsReportedAndCorrected(t *testing.T) {
	h := newHub(t)
	for _, id := range []string{"a", "b"} {
		h.submit(request(id, "scale", `{"replicas":5}`))
		h.until(id, v1alpha1.PhaseDispatched)
	}
	h.pass(bundle.MaxBundleLife + time.Second)
	a, b := h.until("a", v1alpha1.PhaseExpired), h.until("b", v1alpha1.PhaseExpired)
	require.Equal(t, []auditlog.Type{auditlog.TypeIntent, auditlog.TypeExpired}, h.logged("a"))
	d, _ := bundle.Decode(a.Bundle.Envelope)
	require.NoError(t, h.gw.Taken(t.Context(), "east", 1, 2, ""))
	h.repeat(func() error {
		return h.gw.Receipt(t.Context(), "east", a.Bundle.ID, h.receipt(d, refusal.New("claim", refusal.BundleExpired, "too late")), nil)
	})
	h.answer(b)
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.last["a"].Next == ""
	}, 5*time.Second, 5*time.Millisecond)
	h.until("a", v1alpha1.PhaseExpired)
	h.until("b", v1alpha1.PhaseSucceeded)
}

// A crash before or after every single commit of a whole life: after the restart the action ends well, with one bundle and
// one answer, and no intent is missing.
func TestACrashAtEveryCommit(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			if !crashAt(t, n, after) {
				require.Greater(t, n, 8, "the life has that many commits")
				break
			}
		}
	}
}

func crashAt(t *testing.T, n int, after bool) (hit bool) {
	h := newHub(t)
	h.store.mu.Lock()
	h.store.in, h.store.after = n, after
	h.store.mu.Unlock()
	h.repeat(func() error { return h.gw.Submit(t.Context(), request("a", "rollback", ``)) })
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.restart()
	h.word("a", "bob", true)
	r := h.until("a", v1alpha1.PhaseDispatched)
	h.restart()
	h.repeat(func() error { return h.gw.Taken(t.Context(), "east", 1, 1, "") })
	h.answer(r)
	h.until("a", v1alpha1.PhaseSucceeded)
	require.EqualValues(t, 1, h.signed(), "crash %d after=%v", n, after)
	intents := map[string]bool{}
	for _, e := range h.entries {
		if e.Type == auditlog.TypeIntent {
			intents[e.Intent.OrderDigest] = true
		}
	}
	require.Len(t, intents, 1)
	return h.store.hit
}

// One hub, many requests at once: the sequence has no gap and no double.
func TestTheSequenceHasNoGaps(t *testing.T) {
	h := newHub(t)
	h.gw.Limits.QueuePerCluster = 100
	const n = 40
	for i := range n {
		h.submit(request(fmt.Sprint(i), "scale", `{"replicas":5}`))
	}
	for i := range n {
		h.until(fmt.Sprint(i), v1alpha1.PhaseDispatched)
	}
	expect := trust.Expect{Audience: h.f.Audience, Epoch: 1}
	for i := range n {
		sequence, raw, ok, err := h.gw.Next(t.Context(), "east", uint64(i))
		require.NoError(t, err)
		require.True(t, ok)
		require.EqualValues(t, i+1, sequence)
		d, no := bundle.Decode(raw)
		require.Nil(t, no)
		_, no = trust.Authenticate(t.Context(), d, h.f.Root, expect)
		require.Nil(t, no)
		expect.Sequence, expect.Previous = d.Bundle.Sequence, d.Digest
	}
}
