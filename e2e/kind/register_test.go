package kind

import (
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/kind/stage"
)

// register looks at what installing has come to, through the doors that users have.
func register(s *scene) {
	out, err := s.WritAs(s.ctx, s.Clusters[stage.Hub].Kubeconfig, "cluster", "list")
	require.NoError(s, err)
	s.Log(out)
	for _, name := range []string{stage.East, stage.West} {
		require.Contains(s, out, name)
		status, err := s.Presence(s.ctx, name)
		require.NoError(s, err)
		require.Equal(s, "Joined", status.Phase)
		require.True(s, status.Connected)
		require.Equal(s, s.Tag, status.SpokeVersion)
	}
	for name, release := range map[string]string{stage.Hub: "writ-hub", stage.East: "writ-spoke", stage.West: "writ-spoke"} {
		out, err := s.Helm(s.ctx, s.Clusters[name], "test", release, "--timeout", "60s")
		require.NoError(s, err)
		require.Contains(s, out, "Succeeded")
	}
}
