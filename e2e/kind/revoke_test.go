package kind

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// revoke ends the identity of a cluster: it is cut off, also when its pod is started again; nothing is done there any more; the other
// goes on. Removed and registered again, with both factors, its name is another cluster's.
func revoke(s *scene) {
	operator := s.Clusters[stage.Hub].Kubeconfig
	west, err := newWorker(s.ctx, s.Stage, stage.West, "revoked")
	require.NoError(s, err)
	east, err := newWorker(s.ctx, s.Stage, stage.East, "not-revoked")
	require.NoError(s, err)
	require.NoError(s, s.once(west))

	began := time.Now()
	_, err = s.WritAs(s.ctx, operator, "cluster", "revoke", stage.West, "--yes", "--reason", "a test of the end")
	require.NoError(s, err)
	say(began, "west is revoked")
	s.staysOut(stage.West)
	asked, err := west.ask(s.ctx)
	require.NoError(s, err)
	require.NoError(s, s.Until(s.ctx, asked, time.Minute, v1alpha1.Phase.Final))
	require.Equal(s, v1alpha1.PhaseRefused, asked.Status.Phase, asked.Status.Message)
	require.Equal(s, string(refusal.ClusterUnknown), asked.Status.Reason, asked.Status.Message)
	require.NoError(s, blow{pod: true}.strike(s, stage.West, "writ-spoke"))
	s.staysOut(stage.West)
	require.NoError(s, s.once(east))
	say(began, "west stays out after its pod was started again, and east goes on")

	_, err = s.WritAs(s.ctx, operator, "cluster", "remove", stage.West, "--yes")
	require.NoError(s, err)
	require.NoError(s, s.Uninstall(s.ctx, stage.West))
	require.NoError(s, s.Purge(s.ctx, stage.West))
	require.NoError(s, s.InstallSpoke(s.ctx, stage.West))
	west, err = newWorker(s.ctx, s.Stage, stage.West, "anew")
	require.NoError(s, err)
	require.NoError(s, s.once(west))
	require.NoError(s, west.remove(s.ctx))
	require.NoError(s, east.remove(s.ctx))
}

// staysOut sees that a cluster is not connected, and does not come back within ten seconds: a spoke tries again several times in that.
func (s *scene) staysOut(cluster string) {
	s.Helper()
	require.NoError(s, stage.Await(s.ctx, "the hub to cut it off", 10*time.Second, func(ctx context.Context) error {
		status, err := s.Presence(ctx, cluster)
		if err == nil && status.Connected {
			err = errors.New("it is connected")
		}
		return err
	}))
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); s.wait(time.Second) {
		status, err := s.Presence(s.ctx, cluster)
		require.NoError(s, err)
		require.False(s, status.Connected)
		require.Equal(s, v1alpha1.ClusterRevoked, status.Phase)
	}
}
