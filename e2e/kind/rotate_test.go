package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/kind/stage"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/identity"
)

// rotate replaces the authority that signs identities while both clusters are worked on. It is held until Vault, which judges by it
// as well, has been told. Every action is done.
func rotate(s *scene) {
	workers := s.workers("turning")
	traffic := s.drive(workers)
	before := s.authority()
	require.Equal(s, identity.Idle, before.Stage)

	began := time.Now()
	s.authority("-rotate", "-hold")
	s.turned("every spoke to trust the next authority", func(now rotation.CAStatus) bool { return now.Held && len(now.Waits) == 0 })
	say(began, "the next authority is published, and both spokes trust it")
	require.NoError(s, s.SetUpVault(s.ctx, stage.East))
	s.authority("-rotate")
	s.turned("the old authority to be dropped", func(now rotation.CAStatus) bool { return now.Stage == identity.Idle })
	say(began, "both spokes have identities by the next authority, and the old one is dropped")
	require.NoError(s, s.SetUpVault(s.ctx, stage.East))
	require.True(s, s.authority().Expires.After(before.Expires))

	require.NoError(s, traffic())
	for _, w := range workers {
		say(began, "%s: %d changes made under way, %d interrupted", w.cluster, w.done, w.not)
		require.NotZero(s, w.done)
		require.Zero(s, w.not)
		require.NoError(s, s.once(w))
		require.NoError(s, w.remove(s.ctx))
	}
}

// authority is the command ca of the hub, in its pod.
func (s *scene) authority(flags ...string) (status rotation.CAStatus) {
	s.Helper()
	out, err := s.Clusters[stage.Hub].Exec(s.ctx, append([]string{"kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", stage.Namespace,
		"exec", "writ-hub-0", "--", "/writ-hub", "ca", "--config", "/etc/writ/config/hub.yaml"}, flags...)...)
	require.NoError(s, err)
	require.NoError(s, json.Unmarshal([]byte(out), &status), out)
	return status
}

func (s *scene) turned(what string, is func(rotation.CAStatus) bool) {
	s.Helper()
	require.NoError(s, stage.Await(s.ctx, what, 3*time.Minute, func(context.Context) error {
		now := s.authority()
		if !is(now) {
			return fmt.Errorf("stage %s, held %t, waits for %v", now.Stage, now.Held, now.Waits)
		}
		return nil
	}))
}
