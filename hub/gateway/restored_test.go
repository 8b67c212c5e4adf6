package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// After a restore nothing is signed for a cluster before its spoke has confirmed where it stands, and a confirmation that does
// not agree with the store is none.
func TestARestoredGatewayWaitsForTheSpokesWord(t *testing.T) {
	h, ctx := newHub(t), context.Background()
	h.submit(request("a", "scale", `{"replicas":5}`))
	first := h.until("a", v1alpha1.PhaseDispatched)
	h.answer(first)
	h.until("a", v1alpha1.PhaseSucceeded)
	restoredAt := h.clock().Add(time.Second)
	require.NoError(t, h.store.Commit(ctx, gateway.Restored(restoredAt.Add(-time.Hour), restoredAt)))
	h.pass(2 * time.Second)

	old := request("old", "scale", `{"replicas":5}`) // asked before the restore, unknown since
	old.CreatedAt = restoredAt.Add(-time.Second)
	h.submit(old)
	r := h.until("old", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.HubRestored, r.Refusal.Reason)
	require.Nil(t, r.Order)

	fresh := request("new", "scale", `{"replicas":5}`)
	fresh.CreatedAt = h.clock()
	h.submit(fresh)
	waits := func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		r := h.last["new"]
		return r.Next == "sign" && strings.HasPrefix(r.Waiting, "cluster east to say where it stands: the hub was restored from a backup of ")
	}
	require.Eventually(t, waits, 10*time.Second, time.Millisecond)
	for _, stands := range []struct {
		epoch, sequence uint64
		digest          string
	}{{1, 2, first.Bundle.Digest}, {1, 1, "sha256:other"}, {1, 0, ""}, {2, 1, first.Bundle.Digest}} {
		require.NoError(t, h.gw.Confirm(ctx, "east", stands.epoch, stands.sequence, stands.digest))
	}
	require.NoError(t, h.gw.Confirm(ctx, "west", 1, 0, ""), "another cluster's word")
	h.restart()
	require.Eventually(t, waits, 10*time.Second, time.Millisecond)
	_, sequence, _, err := h.gw.Position(ctx, "east")
	require.NoError(t, err)
	require.EqualValues(t, 1, sequence, "nothing was signed")

	require.NoError(t, h.gw.Confirm(ctx, "east", 1, 1, first.Bundle.Digest))
	r = h.until("new", v1alpha1.PhaseDispatched)
	require.EqualValues(t, 2, r.Bundle.Sequence)
	require.NoError(t, h.gw.Confirm(ctx, "east", 1, 1, first.Bundle.Digest), "a spoke that has not taken the next one yet")
}

// A bundle of an epoch that is over is not waited for: its request ends, its target is free, and the next is the first of the new
// epoch. An answer that was given before still counts.
func TestWhatWasSignedInAnEpochThatIsOverEnds(t *testing.T) {
	h, ctx := newHub(t), context.Background()
	for _, id := range []string{"lost", "taken", "answered"} {
		h.submit(request(id, "scale", `{"replicas":5}`))
		h.until(id, v1alpha1.PhaseDispatched)
	}
	answered := h.until("answered", v1alpha1.PhaseDispatched)
	require.NoError(t, h.gw.Taken(ctx, "east", 1, h.until("taken", v1alpha1.PhaseDispatched).Bundle.Sequence, ""))
	h.until("taken", v1alpha1.PhaseExecuting)
	h.mu.Lock()
	h.resets = 1
	h.mu.Unlock()
	require.NoError(t, h.gw.Reconsider(ctx))
	h.answer(answered)
	h.until("answered", v1alpha1.PhaseSucceeded)
	h.pass(bundle.MaxBundleLife + time.Second)
	h.pass(bundle.OrderLife)
	for _, id := range []string{"lost", "taken"} {
		r := h.until(id, v1alpha1.PhaseRefused)
		require.Equal(t, refusal.EpochEnded, r.Refusal.Reason, id)
		require.Contains(t, h.logged(id), auditlog.TypeRefusal)
	}
	again := request("again", "scale", `{"replicas":5}`)
	again.Target, again.CreatedAt = request("lost", "scale", "").Target, h.clock()
	h.submit(again)
	r := h.until("again", v1alpha1.PhaseDispatched)
	require.Equal(t, [2]uint64{2, 1}, [2]uint64{r.Bundle.Epoch, r.Bundle.Sequence})
}
