package executor_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/spoke/executor"
)

// newAheadScene is one whose executor can make dry runs as somebody else.
func newAheadScene(t *testing.T, whose func(server string) (*rest.Config, error)) *scene {
	t.Helper()
	return newSceneWith(t, trusttest.New(t), func(parts *executor.Parts) {
		url := parts.Cluster.Host
		parts.DryRuns = func(context.Context, trust.Verified) (*rest.Config, error) { return whose(url) }
	})
}

func rehearsing(url string) (*rest.Config, error) {
	return &rest.Config{Host: url, BearerToken: forDryRuns}, nil
}

// dryRun waits until a dry run was answered. It is what an issuer of the test does, so that the dry run must be under way by then.
func (s *scene) dryRun() {
	require.Eventually(s.t, func() bool { _, dryRuns, _ := s.server.said(); return dryRuns > 0 }, time.Minute, time.Millisecond)
}

func (s *scene) act(order bundle.Order) bundle.Receipt {
	s.t.Helper()
	require.NoError(s.t, s.executor.Bundle(s.t.Context(), s.f.Seal(s.f.Bundle(order))))
	return s.receipt(theBundle)
}

func TestTheDryRunIsMadeBesideTheCredentialOnce(t *testing.T) {
	s := newAheadScene(t, rehearsing)
	s.onIssue = s.dryRun
	receipt := s.act(s.f.Order())
	require.Equal(t, bundle.Applied, receipt.Result)
	require.Equal(t, "replicas 3 → 4", receipt.Change)
	require.Equal(t, "test:lease-1", receipt.Credential)
	_, dryRuns, changes := s.server.said()
	require.Equal(t, []int{1, 1}, []int{dryRuns, changes})
	require.Equal(t, []string{"Bearer token"}, s.server.changers, "only the credential changes anything")
}

// Whatever else comes of the dry run beside the credential, the one with the credential decides.
func TestTheDryRunWithTheCredentialDecides(t *testing.T) {
	mayNot := func(w http.ResponseWriter, _ bool) bool { answer(w, http.StatusForbidden, "Forbidden"); return true }
	for name, tc := range map[string]struct {
		whose func(string) (*rest.Config, error)
		first func(s *scene) // the first dry run
		issue func(s *scene) // while the credential is issued
		runs  int            // dry runs that pass
	}{
		"nobody to be": {whose: func(string) (*rest.Config, error) { return nil, errors.New("no such account") }, runs: 1},
		"not known":    {whose: func(url string) (*rest.Config, error) { return &rest.Config{Host: url, BearerToken: "nobody's"}, nil }, runs: 1},
		"it may not": {whose: rehearsing, runs: 1, first: func(s *scene) { s.server.steer = mayNot },
			issue: func(s *scene) {
				require.Eventually(t, func() bool { calls, _, _ := s.server.said(); return calls == 2 }, time.Minute, time.Millisecond)
				s.server.mu.Lock()
				defer s.server.mu.Unlock()
				s.server.steer = nil
			}},
		"too long ago": {whose: rehearsing, runs: 2, issue: func(s *scene) { s.dryRun(); s.set(func() { s.late += 2 * time.Second }) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAheadScene(t, tc.whose)
			if tc.first != nil {
				tc.first(s)
			}
			if tc.issue != nil {
				s.onIssue = func() { tc.issue(s) }
			}
			require.Equal(t, bundle.Applied, s.act(s.f.Order()).Result)
			_, dryRuns, changes := s.server.said()
			require.Equal(t, []int{tc.runs, 1}, []int{dryRuns, changes})
		})
	}
}

// What was read beside the credential does not overwrite what somebody else changed by then.
func TestWhatChangedAfterTheDryRunIsReadAgain(t *testing.T) {
	s := newAheadScene(t, rehearsing)
	s.onIssue = func() {
		s.dryRun()
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.version++
	}
	require.Equal(t, bundle.Applied, s.act(s.f.Order()).Result)
	_, dryRuns, changes := s.server.said()
	require.Equal(t, []int{2, 1}, []int{dryRuns, changes})
}

// What would change is what was rehearsed, or it is not changed.
func TestRealityMovedBesideTheCredential(t *testing.T) {
	s := newAheadScene(t, rehearsing)
	order := s.f.Order()
	order.RehearsalDigest = bundle.Digest([]byte("something else"))
	receipt := s.act(order)
	require.Equal(t, bundle.Refused, receipt.Result)
	require.Equal(t, refusal.RealityMoved, receipt.Refusal.Reason)
	_, _, changes := s.server.said()
	require.Zero(t, changes)
}

// A claim that is refused has nothing looked at.
func TestNothingIsLookedAtBeforeTheClaim(t *testing.T) {
	s := newAheadScene(t, rehearsing)
	s.onAllow = func() { s.set(func() { s.late += bundle.MaxBundleLife + time.Minute }) } // between judging and claiming
	require.Equal(t, refusal.BundleExpired, s.act(s.f.Order()).Refusal.Reason)
	calls, _, _ := s.server.said()
	require.Zero(t, calls)
}
