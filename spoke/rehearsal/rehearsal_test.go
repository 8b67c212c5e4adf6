package rehearsal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/rehearsal"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// scene is a rehearser with the real kernel, on a stage that the test steers.
type scene struct {
	t        *testing.T
	f        *trusttest.Fixture
	receipts *bundle.Key
	*rehearsal.Rehearser

	mu     sync.Mutex
	tried  int
	denied *refusal.Refusal
	try    func() (rehearsal.Found, *refusal.Refusal, error)
}

func newScene(t *testing.T) *scene {
	t.Helper()
	f := trusttest.New(t)
	s := &scene{t: t, f: f, receipts: f.Keys(1)[0]}
	s.try = func() (rehearsal.Found, *refusal.Refusal, error) {
		return rehearsal.Found{Diff: diff.Diff{Object: "o", Changes: []diff.Field{{Path: "a", After: "1"}}}, Change: "a → 1",
			Credential: "test:1", Place: bundle.Sandbox}, nil, nil
	}
	s.Rehearser = rehearsal.New(rehearsal.Parts{Audience: f.Audience, Root: f.Root, Policy: s, Stage: s, Receipts: s.receipts,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.Now }})
	return s
}

// Allow implements rehearsal.LocalPolicy.
func (s *scene) Allow(bundle.Order, catalogue.Tier, time.Time) *refusal.Refusal { return s.denied }

func (s *scene) Lowers(bundle.Order, time.Time) catalogue.Tier { return "" }

// Try implements rehearsal.Stage.
func (s *scene) Try(context.Context, trust.Rehearsable, []byte) (rehearsal.Found, *refusal.Refusal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried++
	return s.try()
}

// word rehearses, and reads the answer as the hub does.
func (s *scene) word(raw []byte) bundle.Rehearsed {
	s.t.Helper()
	id, signed := s.Rehearse(s.t.Context(), raw)
	require.NotNil(s.t, signed)
	envelope, word, no := bundle.OpenRehearsed(signed)
	require.Nil(s.t, no)
	_, err := bundle.VerifyAll(s.t.Context(), envelope, 1, []dsse.Verifier{s.receipts})
	require.NoError(s.t, err)
	require.Equal(s.t, id, word.RehearsalID)
	require.Equal(s.t, bundle.Digest(raw), word.RehearsalDigest)
	require.Equal(s.t, s.f.Audience.Cluster, word.Cluster)
	return word
}

func TestARehearsalIsAnsweredOnceAndTheSame(t *testing.T) {
	s := newScene(t)
	raw := s.f.SealRehearsal(s.f.Rehearsal(s.f.Order()))
	word := s.word(raw)
	require.Nil(t, word.Refusal)
	require.Equal(t, bundle.Sandbox, word.Place)
	require.Equal(t, "a → 1", word.Change)
	require.Equal(t, word.Diff.Digest(), word.Digest)
	require.Equal(t, []bundle.Check{{Name: "schema", Passed: true}, {Name: "policy", Passed: true}, {Name: "dryRun", Passed: true}}, word.Checks)
	_, first := s.Rehearse(t.Context(), raw)
	_, second := s.Rehearse(t.Context(), raw)
	require.Equal(t, first, second)
	require.Equal(t, 1, s.tried, "it is tried once, however often the hub asks")
}

func TestWhatARehearsalMeets(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil   func(s *scene, r *bundle.Rehearsal)
		reason  refusal.Reason
		checked int
		tried   int
	}{
		"the catalogue": {func(_ *scene, r *bundle.Rehearsal) { r.Action = "exec" }, refusal.ActionUnknown, 1, 0},
		"the local policy": {func(s *scene, _ *bundle.Rehearsal) {
			s.denied = refusal.New("judge", refusal.LocalPolicyDenied, "not here")
		}, refusal.LocalPolicyDenied, 2, 0},
		"the API server": {func(s *scene, _ *bundle.Rehearsal) {
			s.try = func() (rehearsal.Found, *refusal.Refusal, error) {
				return rehearsal.Found{Place: bundle.InProcess}, refusal.New("dryRun", refusal.DryRunRefused, "no"), nil
			}
		}, refusal.DryRunRefused, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			r := s.f.Rehearsal(s.f.Order())
			tc.spoil(s, &r)
			word := s.word(s.f.SealRehearsal(r))
			require.Equal(t, tc.reason, word.Refusal.Reason)
			require.Nil(t, word.Diff)
			require.Len(t, word.Checks, tc.checked)
			require.False(t, word.Checks[tc.checked-1].Passed)
			require.Equal(t, tc.tried, s.tried)
		})
	}
}

// What nobody can tell whose it is, and what has expired, is neither answered nor tried.
func TestWhatIsNotAnswered(t *testing.T) {
	for name, raw := range map[string]func(f *trusttest.Fixture) []byte{
		"nothing":         func(*trusttest.Fixture) []byte { return nil },
		"a bundle":        func(f *trusttest.Fixture) []byte { return f.Seal(f.Bundle(f.Order())) },
		"another gateway": func(f *trusttest.Fixture) []byte { return f.SealRehearsal(f.Rehearsal(f.Order()), f.Approvers[0]) },
		"another cluster": func(f *trusttest.Fixture) []byte {
			r := f.Rehearsal(f.Order())
			r.Audience.Cluster = "west"
			return f.SealRehearsal(r)
		},
		"expired": func(f *trusttest.Fixture) []byte {
			r := f.Rehearsal(f.Order())
			r.NotBefore, r.Expires = f.Now.Add(-time.Minute), f.Now.Add(-time.Second)
			return f.SealRehearsal(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			_, signed := s.Rehearse(t.Context(), raw(s.f))
			require.Nil(t, signed)
			require.Zero(t, s.tried)
		})
	}
}

// A fault is no answer: the hub asks again, and is answered then.
func TestAFaultIsTriedAgain(t *testing.T) {
	s := newScene(t)
	good := s.try
	s.try = func() (rehearsal.Found, *refusal.Refusal, error) { return rehearsal.Found{}, nil, errors.New("away") }
	raw := s.f.SealRehearsal(s.f.Rehearsal(s.f.Order()))
	_, signed := s.Rehearse(t.Context(), raw)
	require.Nil(t, signed)
	s.try = good
	s.word(raw)
	require.Equal(t, 2, s.tried)
}

// However many are asked for, each is answered: only answers are forgotten.
func TestManyRehearsals(t *testing.T) {
	s := newScene(t)
	var first []byte
	for i := range 300 {
		r := s.f.Rehearsal(s.f.Order())
		r.ID = fmt.Sprintf("rehearsal-%d", i)
		r.Expires = r.Expires.Add(-time.Duration(300-i) * time.Millisecond)
		raw := s.f.SealRehearsal(r)
		if i == 0 {
			first = raw
		}
		s.word(raw)
	}
	require.Equal(t, 300, s.tried)
	s.word(first)
	require.Equal(t, 301, s.tried, "it was forgotten, and is found out again")
}
