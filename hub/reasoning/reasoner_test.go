package reasoning_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/hub/reasoning"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

// proposals keeps what was proposed; the first of errs fails the next proposal.
type proposals struct {
	all  []reasoning.Proposal
	errs []error
}

func (p *proposals) Propose(_ context.Context, proposal reasoning.Proposal) error {
	p.all = append(p.all, proposal)
	if len(p.errs) == 0 {
		return nil
	}
	err := p.errs[0]
	p.errs = p.errs[1:]
	return err
}

type fixture struct {
	store    store.Store
	proposed *proposals
	spans    *tracetest.InMemoryExporter
	at       time.Time
	reasoner *reasoning.Reasoner
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := badgerstore.Open(t.TempDir(), log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	f := &fixture{store: s, proposed: &proposals{}, spans: tracetest.NewInMemoryExporter(), at: now}
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(f.spans)).Tracer("test")
	f.reasoner = reasoning.New("sre", []*reasoning.Playbook{parse(t, playbook)}, f.store, f.proposed, tracer, log,
		func() time.Time { return f.at })
	return f
}

func (f *fixture) stored(t *testing.T) []store.Item {
	t.Helper()
	items, err := f.store.Scan(t.Context(), "", "", 1000)
	require.NoError(t, err)
	return items
}

func TestASignalBecomesADecisionAndOneProposal(t *testing.T) {
	f := setUp(t)
	s := broken("u1")
	for range 3 { // told again
		require.NoError(t, f.reasoner.Consider(t.Context(), s))
	}
	require.Len(t, f.proposed.all, 1)
	p := f.proposed.all[0]
	require.Equal(t, p.Name, p.DecisionID)
	require.Equal(t, "rollback", p.Action)
	require.Equal(t, "east", p.Cluster)
	require.Equal(t, "deployment/shop/checkout", p.Target.String())
	require.Empty(t, p.Target.UID)
	require.Contains(t, p.Reason, s.ID)

	d, err := f.reasoner.Decision(t.Context(), p.DecisionID)
	require.NoError(t, err)
	require.Equal(t, reasoning.Proposed, d.State)
	require.Equal(t, []string{s.ID}, d.Signals)
	require.Equal(t, reasoning.Artefact{Kind: "playbook", Name: "roll-back-broken-rollouts", Digest: bundle.Digest([]byte(playbook))}, d.Reasoning)
	require.Contains(t, d.Prediction, "fully available")
	raw, err := json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, string(raw), string(d.Evidence[0].Signal))
	require.Equal(t, bundle.Digest(d.Evidence[0].Signal), d.Evidence[0].Digest)

	spans := f.spans.GetSpans()
	require.Len(t, spans, 1)
	require.Equal(t, "writ.decision", spans[0].Name)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", spans[0].SpanContext.TraceID().String(), "of the signal's trace")
	require.Equal(t, "b7ad6b7169203331", spans[0].Parent.SpanID().String())
	require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-"+spans[0].SpanContext.SpanID().String()+"-01", p.Traceparent)
}

func TestCooldownIsPerObject(t *testing.T) {
	f := setUp(t)
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u1")))
	again := broken("u1") // another generation of the same object
	again.Fingerprint = strings.Repeat("a", 64)
	require.NoError(t, f.reasoner.Consider(t.Context(), again))
	require.Len(t, f.proposed.all, 1)
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u2")))
	require.Len(t, f.proposed.all, 2)
	elsewhere := broken("u1")
	elsewhere.Cluster = "west"
	require.NoError(t, f.reasoner.Consider(t.Context(), elsewhere))
	require.Len(t, f.proposed.all, 3)

	f.at = now.Add(15 * time.Minute)
	still := broken("u1")
	still.LastSeen = f.at
	require.NoError(t, f.reasoner.Consider(t.Context(), still))
	require.Len(t, f.proposed.all, 4)
	require.NotEqual(t, f.proposed.all[0].Name, f.proposed.all[3].Name)
}

func TestWhatDoesNotMatchWritesNothing(t *testing.T) {
	f := setUp(t)
	other := broken("u1")
	other.Values["cause"] = "ProgressDeadlineExceeded"
	unheard := broken("u1")
	delete(unheard.Values, "revision")
	old := broken("u1")
	old.LastSeen = now.Add(-time.Hour)
	require.NoError(t, f.reasoner.Consider(t.Context(), other))
	require.NoError(t, f.reasoner.Consider(t.Context(), unheard))
	require.NoError(t, f.reasoner.Consider(t.Context(), old))
	require.Empty(t, f.proposed.all)
	require.Empty(t, f.stored(t))
}

func TestACrashBeforeTheProposalProposesTheSameOnce(t *testing.T) {
	f := setUp(t)
	f.proposed.errs = []error{errors.New("the API server is gone")}
	require.Error(t, f.reasoner.Consider(t.Context(), broken("u1")))
	f.at = now.Add(5 * time.Minute)
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u1")))
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u1")))
	require.Len(t, f.proposed.all, 2)
	require.Equal(t, f.proposed.all[0], f.proposed.all[1], "the same name, so that it exists once")
	require.Len(t, f.spans.GetSpans(), 1)
}

func TestARejectedProposalIsNotTriedAgain(t *testing.T) {
	f := setUp(t)
	f.proposed.errs = []error{reasoning.ErrRejected}
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u1")))
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u1")))
	require.Len(t, f.proposed.all, 1)
	d, err := f.reasoner.Decision(t.Context(), f.proposed.all[0].DecisionID)
	require.NoError(t, err)
	require.Equal(t, reasoning.Rejected, d.State)
	require.NotEmpty(t, d.Problem)
}
