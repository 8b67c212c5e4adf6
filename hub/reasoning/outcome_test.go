package reasoning_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/reasoning"
)

// What came of a decision is taken down on it, with its drift; and on no decision that chose something else.
func TestADecisionLearnsWhatCameOfIt(t *testing.T) {
	f := setUp(t)
	require.NoError(t, f.reasoner.Consider(t.Context(), broken("u1")))
	id := f.proposed.all[0].DecisionID
	made, err := f.reasoner.Decision(t.Context(), id)
	require.NoError(t, err)
	target := made.Target
	target.UID = ""
	good := reasoning.Asked{DecisionID: id, AgentClass: "sre", Cluster: made.Cluster, Action: made.Action, Target: target,
		Outcome: &reasoning.Outcome{Phase: "Ineffective", Says: "it did not help",
			Drift: []catalogue.Drift{{Field: "ready replicas", Predicted: "3", Actual: "1"}}}}
	for name, change := range map[string]func(*reasoning.Asked){
		"no such decision":    func(a *reasoning.Asked) { a.DecisionID = "d-nothing" },
		"another agent class": func(a *reasoning.Asked) { a.AgentClass = "healer" },
		"another cluster":     func(a *reasoning.Asked) { a.Cluster = "west" },
		"another action":      func(a *reasoning.Asked) { a.Action = "scale" },
		"another target":      func(a *reasoning.Asked) { a.Target.Name = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			asked := good
			change(&asked)
			before := f.stored(t)
			_, ok, err := reasoning.Learn(t.Context(), f.store, asked)
			require.NoError(t, err)
			require.False(t, ok)
			require.Equal(t, before, f.stored(t), "nothing was written")
		})
	}
	underWay := good
	underWay.Outcome = nil
	shown, ok, err := reasoning.Learn(t.Context(), f.store, underWay)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, made, shown)
	for range 2 {
		_, ok, err = reasoning.Learn(t.Context(), f.store, good)
		require.NoError(t, err)
		require.True(t, ok)
	}
	after := f.stored(t)
	_, _, err = reasoning.Learn(t.Context(), f.store, good)
	require.NoError(t, err)
	require.Equal(t, after, f.stored(t), "it is taken down once")
	learned, err := f.reasoner.Decision(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, good.Outcome, learned.Outcome)
	learned.Outcome = nil
	require.Equal(t, made, learned, "and nothing else changes")
}
