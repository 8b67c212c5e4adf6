package executor_test

import (
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
