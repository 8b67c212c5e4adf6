package executor_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
)

// What is frozen is refused at its claim: nothing is leased, nothing is changed, and the receipt says who froze it. It makes no
// difference whether the bundle comes from the hub or was taken before a restart.
func TestWhatIsFrozenIsNotStarted(t *testing.T) {
	past, soon := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		freeze bundle.Freeze
		runs   bool
	}{
		"everything":           {freeze: bundle.Freeze{}},
		"until later":          {freeze: bundle.Freeze{Until: soon}},
		"until a minute ago":   {freeze: bundle.Freeze{Until: past}, runs: true},
		"its action":           {freeze: bundle.Freeze{Action: "scale"}},
		"another action":       {freeze: bundle.Freeze{Action: "rollback"}, runs: true},
		"its bundle":           {freeze: bundle.Freeze{AgentClass: "healer", Bundles: []string{"another", theBundle}}},
		"another class's only": {freeze: bundle.Freeze{AgentClass: "healer", Bundles: []string{"another"}}, runs: true},
	} {
		c.freeze.Name, c.freeze.By, c.freeze.Reason = "f", "sam", "the shop burns"
		for _, restarted := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				require.NoError(t, s.journal.Freeze(s.f.Epoch, bundle.Freezes{Generation: 1, Active: []bundle.Freeze{c.freeze}}))
				if restarted {
					s.stop()
					s.takeAndClaim(t, false)
					s.run()
				} else {
					require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
				}
				receipt := s.receipt(theBundle)
				_, _, changes := s.server.said()
				if c.runs {
					require.Equal(t, bundle.Applied, receipt.Result)
					require.Equal(t, 1, changes)
					return
				}
				require.Equal(t, bundle.Refused, receipt.Result)
				require.Equal(t, refusal.Frozen, receipt.Refusal.Reason)
				require.Equal(t, "claim", receipt.Refusal.Step)
				require.Contains(t, receipt.Refusal.Detail, "freeze f of sam")
				require.Zero(t, changes)
				require.Zero(t, s.leases)
				require.Zero(t, receipt.StartedAt)
			})
		}
	}
}

// What was started is stopped where its credential is to end: wherever it stands, nothing more is changed and the credential is ended. Where the
// change had left already, the receipt tells the truth.
func TestWhatWasStartedIsStopped(t *testing.T) {
	for name, c := range map[string]struct {
		freeze  bundle.Freeze
		applied bool // before it was stopped
		runs    bool
	}{
		"everything":          {freeze: bundle.Freeze{}},
		"its bundle":          {freeze: bundle.Freeze{AgentClass: "healer", Bundles: []string{theBundle}}},
		"the change had left": {freeze: bundle.Freeze{}, applied: true},
		"another action":      {freeze: bundle.Freeze{Action: "rollback"}, runs: true},
		"over":                {freeze: bundle.Freeze{Until: time.Now().Add(-time.Minute)}, runs: true},
	} {
		c.freeze.Name, c.freeze.By, c.freeze.Reason, c.freeze.RevokeCredentials = "f", "sam", "a key was stolen", true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			there, free := make(chan struct{}, 8), make(chan struct{})
			s.server.steer = func(w http.ResponseWriter, dryRun bool) bool {
				if dryRun == c.applied {
					return false
				}
				there <- struct{}{}
				<-free
				return false
			}
			require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
			<-there
			frozen := bundle.Freezes{Generation: 1, Active: []bundle.Freeze{c.freeze}}
			require.NoError(t, s.journal.Freeze(s.f.Epoch, frozen))
			s.executor.Withdraw(frozen)
			if c.applied || c.runs {
				close(free)
			}
			receipt := s.receipt(theBundle)
			if !c.applied && !c.runs {
				close(free)
			}
			require.Equal(t, 1, s.leased(), "its credential is ended")
			s.live(0)
			_, _, changes := s.server.said()
			if c.runs {
				require.Equal(t, bundle.Applied, receipt.Result)
				return
			}
			if receipt.Result == bundle.Applied {
				require.True(t, c.applied)
				require.Equal(t, 1, changes)
				return
			}
			require.Equal(t, refusal.Frozen, receipt.Refusal.Reason)
			require.Equal(t, "execute", receipt.Refusal.Step)
			require.Contains(t, receipt.Refusal.Detail, "a key was stolen")
			if !c.applied {
				require.Zero(t, changes)
			}
		})
	}
}
