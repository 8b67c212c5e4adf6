package kind

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/e2e/kind/stage"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/enrol"
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
	s.empty(stage.West)
	s.cannotJoin(stage.West)
	require.NoError(s, s.InstallSpoke(s.ctx, stage.West))
	west, err = newWorker(s.ctx, s.Stage, stage.West, "anew")
	require.NoError(s, err)
	require.NoError(s, s.once(west))
	require.NoError(s, west.remove(s.ctx))
	require.NoError(s, east.remove(s.ctx))
}

// cannotJoin installs spokes whose join files are good for nothing. Each pod ends, and its termination message says why in one line.
func (s *scene) cannotJoin(cluster string) {
	s.Helper()
	raw, err := os.ReadFile(s.JoinFile(cluster))
	require.NoError(s, err)
	join, err := enrol.ParseJoin(raw)
	require.NoError(s, err)
	published, err := access.Published(s.ctx, s.Clusters[stage.Hub].Client)
	require.NoError(s, err)
	other, err := identity.LoadCA(s.TempDir(), spiffeid.RequireTrustDomainFromString("other.example.org"), time.Now())
	require.NoError(s, err)
	for says, authorities := range map[string]string{
		"the hub refused: TokenWrong: cluster and token do not belong together": published["authorities.pem"],
		"certificate": string(other.Authorities().PEM()),
	} {
		join.Authorities = authorities
		raw, err := join.YAML()
		require.NoError(s, err)
		file := filepath.Join(s.TempDir(), "join.yaml")
		require.NoError(s, os.WriteFile(file, raw, 0o600))
		began := time.Now()
		require.NoError(s, s.StartSpoke(s.ctx, cluster, file))
		words, err := s.LastWords(s.ctx, cluster)
		require.NoError(s, err)
		say(began, "a spoke that cannot join ended: %s", words)
		require.Contains(s, words, says)
		require.Equal(s, 1, strings.Count(words, "\n"), "it is one line")
		s.empty(cluster)
	}
}

// empty takes a spoke away, and what it leaves.
func (s *scene) empty(cluster string) {
	s.Helper()
	require.NoError(s, s.Uninstall(s.ctx, cluster))
	require.NoError(s, s.Purge(s.ctx, cluster))
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
