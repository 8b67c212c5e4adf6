package kind

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// away is longer than the 2 minutes that an identity lives here: it is due for renewal, and then ends, while nobody can be asked.
const away = 130 * time.Second

// partition takes the node of one spoke off the network, past the end of its identity. The others don't notice; what is asked of
// it meanwhile is not done behind anybody's back; and it comes back by itself, with the same identity.
func partition(s *scene) {
	west := s.Clusters[stage.West]
	address, err := west.Address(s.ctx)
	require.NoError(s, err)
	cut, err := newWorker(s.ctx, s.Stage, stage.West, "cut-off")
	require.NoError(s, err)
	other, err := newWorker(s.ctx, s.Stage, stage.East, "not-cut-off")
	require.NoError(s, err)

	began := time.Now()
	require.NoError(s, west.Disconnect(s.ctx))
	defer func() { _ = west.Connect(context.WithoutCancel(s.ctx), address) }() // whatever happens; an error where it is back already
	err = stage.Await(s.ctx, "the hub to miss it", 2*time.Minute, func(ctx context.Context) error {
		status, err := s.Presence(ctx, stage.West)
		if err == nil && status.Connected {
			err = fmt.Errorf("last contact was at %s", status.LastContact)
		}
		return err
	})
	require.NoError(s, err)
	say(began, "the hub misses west")

	asked, err := cut.ask(s.ctx)
	require.NoError(s, err)
	for time.Since(began) < away {
		r, err := other.ask(s.ctx)
		require.NoError(s, err)
		require.NoError(s, s.Until(s.ctx, r, time.Minute, v1alpha1.Phase.Final))
		require.NoError(s, other.settle(s.ctx, r))
		s.wait(time.Second)
	}
	require.Zero(s, other.not)
	require.NotEqual(s, v1alpha1.PhaseSucceeded, s.phase(asked))
	say(began, "east did %d actions meanwhile; the request for west stands at %q: %s", other.done, asked.Status.Phase, asked.Status.Message)

	back := time.Now()
	require.NoError(s, west.Connect(s.ctx, address))
	require.NoError(s, s.Connected(s.ctx, stage.West, back, 2*time.Minute))
	say(back, "west is connected again after %s away", back.Sub(began).Round(time.Second))
	require.NoError(s, s.ready(stage.West, "writ-spoke-0"))
	require.NoError(s, s.Until(s.ctx, asked, 2*time.Minute, v1alpha1.Phase.Final))
	if asked.Status.Phase == v1alpha1.PhaseSucceeded {
		require.NoError(s, cut.settle(s.ctx, asked))
	}
	say(back, "what was asked meanwhile ended as %s: %s", asked.Status.Phase, asked.Status.Message)
	r, err := cut.ask(s.ctx)
	require.NoError(s, err)
	require.NoError(s, s.Until(s.ctx, r, time.Minute, v1alpha1.Phase.Final))
	require.NoError(s, cut.settle(s.ctx, r))
	require.NoError(s, cut.remove(s.ctx))
	require.NoError(s, other.remove(s.ctx))
}
