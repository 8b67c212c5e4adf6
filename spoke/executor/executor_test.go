package executor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/journal"
)

const theBundle = "bundle-checkout"

func TestABundleIsExecutedOnce(t *testing.T) {
	s := newScene(t)
	raw := s.f.Seal(s.f.Bundle(s.f.Order()))
	require.NoError(t, s.executor.Bundle(t.Context(), raw))
	receipt := s.receipt(theBundle)
	require.Equal(t, bundle.Applied, receipt.Result)
	require.Equal(t, "replicas 3 → 4", receipt.Change)
	require.Equal(t, "test:lease-1", receipt.Credential)
	require.Equal(t, 1, s.leased(), "one lease, and it is revoked")
	require.Eventually(t, func() bool { all, err := s.journal.Outcomes(); return err == nil && len(all) == 1 }, 5*time.Second, time.Millisecond)

	require.NoError(t, s.executor.Bundle(t.Context(), raw), "the same once more")
	require.Equal(t, []string{string(refusal.SequenceReplayed)}, s.rejected)
	s.stop()
	_, dryRuns, changes := s.server.said()
	require.Equal(t, 1, dryRuns)
	require.Equal(t, 1, changes)
}

// What is not authentic, or not the next of this cluster, changes nothing at all: no call, no lease, no move, no receipt.
func TestInauthenticBundlesMoveNothing(t *testing.T) {
	s := newScene(t)
	other := trusttest.New(t)
	order := func(change func(*bundle.Order)) []byte {
		o := s.f.Order()
		change(&o)
		return s.f.Seal(s.f.Bundle(o))
	}
	wrapped := func(change func(*bundle.Bundle)) []byte {
		b := s.f.Bundle(s.f.Order())
		change(&b)
		return s.f.Seal(b)
	}
	valid := s.f.Seal(s.f.Bundle(s.f.Order()))
	flipped := bytes.Clone(valid)
	if at := bytes.Index(valid, []byte(`"sig":"`)) + 20; valid[at] == 'A' { // still base64
		flipped[at] = 'B'
	} else {
		flipped[at] = 'A'
	}
	for name, tc := range map[string]struct {
		raw    []byte
		reason refusal.Reason
	}{
		"nothing":              {nil, refusal.Malformed},
		"too large":            {bytes.Repeat([]byte{' '}, bundle.MaxSize+1), refusal.TooLarge},
		"nine signatures":      {s.f.Seal(s.f.Bundle(s.f.Order()), s.f.Keys(9)...), refusal.TooManySignatures},
		"duplicate key":        {[]byte(strings.Replace(string(valid), `{"payload`, `{"payloadType":"x","payload`, 1)), refusal.Malformed},
		"flipped signature":    {flipped, refusal.SignatureInvalid},
		"another gateway":      {other.Seal(s.f.Bundle(s.f.Order())), refusal.SignatureInvalid},
		"no signature":         {s.f.Unsigned(s.f.Bundle(s.f.Order())), refusal.SignatureInvalid},
		"an approver's key":    {s.f.Seal(s.f.Bundle(s.f.Order()), s.f.Approvers[0]), refusal.SignatureInvalid},
		"another cluster":      {order(func(o *bundle.Order) { o.Audience.Cluster = "west" }), refusal.AudienceMismatch},
		"another cluster's ID": {order(func(o *bundle.Order) { o.Audience.ClusterUID = "u2" }), refusal.AudienceMismatch},
		"another epoch":        {wrapped(func(b *bundle.Bundle) { b.Epoch++ }), refusal.EpochMismatch},
		"replayed":             {wrapped(func(b *bundle.Bundle) { b.Sequence-- }), refusal.SequenceReplayed},
		"out of order":         {wrapped(func(b *bundle.Bundle) { b.Sequence++ }), refusal.SequenceOutOfOrder},
		"after another bundle": {wrapped(func(b *bundle.Bundle) { b.Previous = "sha256:0" }), refusal.PreviousDigestWrong},
	} {
		t.Run(name, func(t *testing.T) {
			s.set(func() { s.rejected = nil })
			require.NoError(t, s.executor.Bundle(t.Context(), tc.raw))
			require.Equal(t, []string{string(tc.reason)}, s.rejected)
			s.unmoved(t)
		})
	}
	require.NoError(t, s.executor.Bundle(t.Context(), valid), "the real one is still the next")
	require.Equal(t, bundle.Applied, s.receipt(theBundle).Result)
}

// unmoved checks that nothing was done and nothing written.
func (s *scene) unmoved(t *testing.T) {
	t.Helper()
	head, err := s.journal.Head()
	require.NoError(t, err)
	require.Equal(t, journal.Head{Epoch: s.f.Epoch, Sequence: s.f.Sequence, Digest: s.f.Previous}, head)
	unclaimed, err := s.journal.Unclaimed()
	require.NoError(t, err)
	require.Empty(t, unclaimed)
	receipts, err := s.journal.Receipts()
	require.NoError(t, err)
	require.Empty(t, receipts)
	require.Empty(t, s.taken)
	calls, _, _ := s.server.said()
	require.Zero(t, calls)
	require.Zero(t, s.leases)
}

// What is authentic and may not run moves the sequence and is answered with a signed refusal; nothing else happens.
func TestAuthenticBundlesThatMayNotRun(t *testing.T) {
	order := func(change func(*bundle.Order)) func(*trusttest.Fixture) []byte {
		return func(f *trusttest.Fixture) []byte {
			o := f.Order()
			change(&o)
			return f.Seal(f.Bundle(o))
		}
	}
	wrapped := func(change func(*trusttest.Fixture, *bundle.Bundle)) func(*trusttest.Fixture) []byte {
		return func(f *trusttest.Fixture) []byte {
			b := f.Bundle(f.Order())
			change(f, &b)
			return f.Seal(b)
		}
	}
	for name, tc := range map[string]struct {
		prepare func(*scene)
		raw     func(*trusttest.Fixture) []byte
		reason  refusal.Reason
	}{
		"expired": {raw: wrapped(func(f *trusttest.Fixture, b *bundle.Bundle) {
			b.NotBefore, b.Expires = f.Now.Add(-time.Minute), f.Now.Add(-time.Second)
		}), reason: refusal.BundleExpired},
		"from the future": {raw: wrapped(func(f *trusttest.Fixture, b *bundle.Bundle) {
			b.NotBefore, b.Expires = f.Now.Add(2*time.Minute), f.Now.Add(3*time.Minute)
		}), reason: refusal.BundleNotYetValid},
		"lives too long": {raw: wrapped(func(_ *trusttest.Fixture, b *bundle.Bundle) { b.Expires = b.NotBefore.Add(time.Hour) }), reason: refusal.BundleLivesTooLong},
		"order expired": {raw: order(func(o *bundle.Order) {
			o.ValidFrom, o.ValidUntil = o.ValidFrom.Add(-time.Hour), o.ValidFrom.Add(-time.Second)
		}), reason: refusal.OrderExpired},
		"unknown action":        {raw: order(func(o *bundle.Order) { o.Action = "exec" }), reason: refusal.ActionUnknown},
		"parameter said twice":  {raw: order(func(o *bundle.Order) { o.Parameters = []byte(`{"replicas":4,"replicas":0}`) }), reason: refusal.ParametersInvalid},
		"broader rules":         {raw: order(func(o *bundle.Order) { o.Rules[0].ResourceNames = nil }), reason: refusal.RulesMismatch},
		"tier below content":    {raw: order(func(o *bundle.Order) { o.Observed.Protected = true }), reason: refusal.TierTooLow},
		"high without a quorum": {raw: order(func(o *bundle.Order) { o.Tier = catalogue.High }), reason: refusal.ApprovalsMissing},
		"local policy": {prepare: func(s *scene) { s.denied = refusal.New("judge", refusal.LocalPolicyDenied, "not here") },
			raw: order(func(*bundle.Order) {}), reason: refusal.LocalPolicyDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			raw := tc.raw(s.f)
			require.NoError(t, s.executor.Bundle(t.Context(), raw))
			receipt := s.receipt(theBundle)
			require.Equal(t, bundle.Refused, receipt.Result)
			require.Equal(t, tc.reason, receipt.Refusal.Reason)
			require.NotContains(t, receipt.Refusal.Detail, "\n")
			head, err := s.journal.Head()
			require.NoError(t, err)
			require.Equal(t, journal.Head{Epoch: 1, Sequence: s.f.Sequence + 1, Digest: bundle.Digest(raw)}, head)
			require.Equal(t, []uint64{s.f.Sequence + 1}, s.taken)
			calls, _, _ := s.server.said()
			require.Zero(t, calls)
			require.Zero(t, s.leases)
		})
	}
}

// An approved order is good for one execution, however often a gateway wraps it.
func TestAnOrderIsUsedOnce(t *testing.T) {
	s := newScene(t)
	order := s.f.Order()
	raw := s.f.Seal(s.f.Bundle(order))
	require.NoError(t, s.executor.Bundle(t.Context(), raw))
	s.receipt(theBundle)
	s.f.Sequence, s.f.Previous = s.f.Sequence+1, bundle.Digest(raw)
	again := s.f.Bundle(order)
	again.ID = "bundle-again"
	require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(again)))
	receipt := s.receipt("bundle-again")
	require.Equal(t, refusal.OrderUsed, receipt.Refusal.Reason)
	s.stop()
	_, _, changes := s.server.said()
	require.Equal(t, 1, changes)
}

// The ways in which an execution fails: the receipt is the truth, and the change was made at most once.
func TestFailuresWhileExecuting(t *testing.T) {
	status := func(code int, reason string, dryRun bool) func(http.ResponseWriter, bool) bool {
		return func(w http.ResponseWriter, dry bool) bool {
			if dry == dryRun {
				answer(w, code, reason)
			}
			return dry == dryRun
		}
	}
	first := func(fail func(http.ResponseWriter, bool) bool) func(http.ResponseWriter, bool) bool {
		failed := false
		return func(w http.ResponseWriter, dry bool) bool {
			if !failed && !dry {
				failed = true
				return fail(w, dry)
			}
			return false
		}
	}
	for name, tc := range map[string]struct {
		prepare func(*scene)
		seconds int64
		result  bundle.Result
		reason  refusal.Reason
		changes int
	}{
		"no credential":     {prepare: func(s *scene) { s.noLease = fmt.Errorf("%w: no", credentials.ErrRefused) }, result: bundle.Refused, reason: refusal.CredentialRefused},
		"issuer is away":    {prepare: func(s *scene) { s.noLease = errors.New("sealed") }, seconds: 1, result: bundle.Refused, reason: refusal.DeadlineExceeded},
		"dry run forbidden": {prepare: func(s *scene) { s.server.steer = status(403, "Forbidden", true) }, result: bundle.Refused, reason: refusal.DryRunRefused},
		"dry run invalid":   {prepare: func(s *scene) { s.server.steer = status(422, "Invalid", true) }, result: bundle.Refused, reason: refusal.DryRunRefused},
		"target is gone":    {prepare: func(s *scene) { s.server.steer = status(404, "NotFound", true) }, result: bundle.Refused, reason: refusal.TargetChanged},
		"target changed":    {prepare: func(s *scene) { s.server.replicas = 9 }, result: bundle.Refused, reason: refusal.TargetChanged},
		"apply forbidden":   {prepare: func(s *scene) { s.server.steer = status(403, "Forbidden", false) }, result: bundle.Failed, reason: refusal.ApplyRefused},
		"API server broken": {prepare: func(s *scene) { s.server.steer = status(500, "InternalError", false) }, seconds: 1, result: bundle.Failed, reason: refusal.DeadlineExceeded},
		"forbidden by an API server that has just started": {prepare: func(s *scene) {
			began := time.Now()
			s.server.steer = func(w http.ResponseWriter, _ bool) bool {
				starting := time.Since(began) < time.Second
				if starting {
					answer(w, 403, "Forbidden")
				}
				return starting
			}
		}, result: bundle.Applied, changes: 1},
		"conflict, then not": {prepare: func(s *scene) { s.server.steer = first(status(409, "Conflict", false)) },
			result: bundle.Applied, changes: 1},
		"overload, then not": {prepare: func(s *scene) { s.server.steer = first(status(429, "TooManyRequests", false)) },
			result: bundle.Applied, changes: 1},
		"somebody else was quicker": {prepare: func(s *scene) {
			s.server.steer = first(func(w http.ResponseWriter, _ bool) bool {
				s.server.replicas, s.server.version = 8, s.server.version+1
				return false
			})
		}, result: bundle.Failed, reason: refusal.TargetChanged},
		"applied, and the answer lost": {prepare: func(s *scene) { s.server.lose = true }, result: bundle.Applied, changes: 1},
		"applied, answer lost, nobody can tell": {prepare: func(s *scene) { s.server.lose, s.unheard = true, errors.New("no answer") },
			seconds: 1, result: bundle.Failed, reason: refusal.DeadlineExceeded, changes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			tc.prepare(s)
			order := s.f.Order()
			if tc.seconds > 0 {
				order.DeadlineSeconds = tc.seconds
			}
			require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(order))))
			receipt := s.receipt(theBundle)
			_, _, changes := s.server.said()
			require.Equal(t, tc.changes, changes)
			require.Equal(t, tc.result, receipt.Result, "%v", receipt.Refusal)
			if tc.reason != "" {
				require.Equal(t, tc.reason, receipt.Refusal.Reason, receipt.Refusal.Detail)
				require.NotContains(t, receipt.Refusal.Detail, "\n")
			}
			s.leased()
		})
	}
}

// What was started when the spoke stopped is never executed again: the cluster says what became of it.
func TestStartedIsNeverExecutedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		unheard error
		applied bool
		result  bundle.Result
	}{
		"not applied": {nil, false, bundle.Refused},
		"applied":     {nil, true, bundle.Applied},
		"gone":        {fmt.Errorf("%w: no such object", executor.ErrGone), false, bundle.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.stop()
			s.takeAndClaim(t, true)
			s.set(func() { s.unheard = tc.unheard })
			if tc.applied {
				s.server.managers = []string{"writ-order-checkout"}
			}
			s.run()
			receipt := s.receipt(theBundle)
			require.Equal(t, tc.result, receipt.Result)
			if tc.result != bundle.Applied {
				require.Equal(t, refusal.Interrupted, receipt.Refusal.Reason)
			}
			calls, _, _ := s.server.said()
			require.Zero(t, calls)
			require.Zero(t, s.leases)
		})
	}
}

// What was taken and not started is judged again: after its expiry it is refused, and before it is executed.
func TestTakenIsJudgedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		late    time.Duration
		changes int
	}{"in time": {0, 1}, "too late": {bundle.MaxBundleLife + time.Minute, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.stop()
			s.takeAndClaim(t, false)
			s.set(func() { s.late = tc.late })
			s.run()
			receipt := s.receipt(theBundle)
			_, _, changes := s.server.said()
			require.Equal(t, tc.changes, changes)
			if tc.changes == 0 {
				require.Equal(t, refusal.BundleExpired, receipt.Refusal.Reason)
			}
		})
	}
}

// takeAndClaim leaves the journal as a spoke does that was killed on its way.
func (s *scene) takeAndClaim(t *testing.T, claim bool) {
	t.Helper()
	s.take(t, s.f.Seal(s.f.Bundle(s.f.Order())))
	if claim {
		_, err := s.journal.Claim(theBundle, time.Now())
		require.NoError(t, err)
	}
	require.NoError(t, s.journal.Close())
	s.open()
}

// take writes a bundle into the journal; the next one follows it.
func (s *scene) take(t *testing.T, raw []byte) {
	t.Helper()
	d, no := bundle.Decode(raw)
	require.Nil(t, no)
	require.NoError(t, s.journal.Take(journal.Entry{Epoch: 1, Sequence: d.Bundle.Sequence, BundleID: d.Bundle.ID, BundleDigest: d.Digest,
		Previous: d.Bundle.Previous, OrderID: d.Order.ID, OrderEnds: d.Order.ValidUntil, Bundle: raw}))
	s.f.Sequence, s.f.Previous = d.Bundle.Sequence, d.Digest
}

// What a start takes up and begins to execute is not taken for something that was under way when the spoke stopped.
func TestWhatIsTakenUpIsNotInterrupted(t *testing.T) {
	s := newScene(t)
	s.stop()
	s.takeAndClaim(t, false)
	second := s.f.Order()
	second.ID = "order-second"
	wrapped := s.f.Bundle(second)
	wrapped.ID = "bundle-second"
	s.take(t, s.f.Seal(wrapped))
	begun, read := make(chan struct{}), make(chan struct{})
	judged := 0
	s.onAllow = func() {
		if judged++; judged == 2 {
			<-begun // the first is claimed and asks for its credential when the second is still being judged
			s.set(func() { s.denied = refusal.New("policy", refusal.LocalPolicyDenied, "not here") })
		}
	}
	s.onIssue = sync.OnceFunc(func() { close(begun); <-read })
	s.run()
	close(read)
	require.Equal(t, bundle.Applied, s.receipt(theBundle).Result)
	s.receipt("bundle-second")
	s.stop()
	require.Zero(t, s.asked, "nobody asks the cluster what became of it")
}

// A journal that does not write takes nothing, and the hub is told.
func TestWithoutAJournalNothingIsDone(t *testing.T) {
	s := newScene(t)
	raw := s.f.Seal(s.f.Bundle(s.f.Order()))
	s.stop()
	require.NoError(t, s.journal.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.Error(t, s.executor.Bundle(ctx, raw))
	calls, _, _ := s.server.said()
	require.Zero(t, calls)
	require.Zero(t, s.leases)
	require.Empty(t, s.taken)
}

// An order that was rehearsed is carried out only if it still changes what people have seen; one of tier high must have been.
func TestRealityHasMovedSinceTheRehearsal(t *testing.T) {
	scale := func(t *testing.T, s *scene, digest string) bundle.Receipt {
		order := s.f.Order()
		order.RehearsalDigest = digest
		require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(order))))
		return s.receipt(theBundle)
	}
	rehearsed := func(t *testing.T, s *scene) string {
		changes, says, no, err := executor.Rehearse(t.Context(), &rest.Config{Host: s.server.URL, BearerToken: "token"}, s.f.Rehearsable(s.f.Order()), nil, time.Now())
		require.NoError(t, err)
		require.Nil(t, no)
		require.Equal(t, "replicas 3 → 4", says)
		require.Equal(t, diff.Diff{Object: "deployment/shop/checkout/scale", Changes: []diff.Field{{Path: "spec.replicas", Before: "3", After: "4"}}}, changes)
		_, dryRuns, changed := s.server.said()
		require.Equal(t, 1, dryRuns)
		require.Zero(t, changed, "a rehearsal changes nothing")
		return changes.Digest()
	}
	t.Run("it has not", func(t *testing.T) {
		s := newScene(t)
		require.Equal(t, bundle.Applied, scale(t, s, rehearsed(t, s)).Result)
	})
	t.Run("it has, in what is changed", func(t *testing.T) {
		s := newScene(t)
		digest := rehearsed(t, s)
		s.server.mu.Lock()
		s.server.more = map[string]any{"paused": true} // as an admission webhook would that came since
		s.server.mu.Unlock()
		receipt := scale(t, s, digest)
		require.Equal(t, bundle.Refused, receipt.Result)
		require.Equal(t, refusal.RealityMoved, receipt.Refusal.Reason)
		require.Contains(t, receipt.Refusal.Detail, "spec.paused (none) → true")
		_, _, changed := s.server.said()
		require.Zero(t, changed)
	})
	t.Run("it has, between the dry run and the change", func(t *testing.T) {
		s := newScene(t)
		digest := rehearsed(t, s)
		s.server.steer = func(w http.ResponseWriter, dryRun bool) bool {
			if dryRun || s.server.more != nil {
				return false
			}
			s.server.more = map[string]any{"paused": true}
			answer(w, 409, "Conflict")
			return true
		}
		receipt := scale(t, s, digest)
		require.Equal(t, refusal.RealityMoved, receipt.Refusal.Reason)
		_, _, changed := s.server.said()
		require.Zero(t, changed)
	})
	t.Run("it was never rehearsed", func(t *testing.T) {
		s := newScene(t)
		order := s.f.Order()
		order.Tier = catalogue.High
		require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(order, s.f.Approvers[:2]...))))
		require.Equal(t, refusal.RehearsalMissing, s.receipt(theBundle).Refusal.Reason)
		calls, _, _ := s.server.said()
		require.Zero(t, calls)
	})
}
