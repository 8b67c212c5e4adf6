package executor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/journal"
)

// live waits until so many leases are live, and returns them.
func (s *scene) live(want int) (leases []journal.Lease) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		var err error
		leases, err = s.journal.Leases()
		return err == nil && len(leases) == want
	}, time.Minute, time.Millisecond)
	return leases
}

// A credential that cannot be ended is tried again, and counts as live until it is: also after a restart, which knows it by the name
// that its issuer gave it.
func TestALeaseIsLiveUntilItHasEnded(t *testing.T) {
	s := newScene(t)
	s.noEnd = errors.New("the API server is away")
	require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
	receipt := s.receipt(theBundle)
	require.Equal(t, bundle.Applied, receipt.Result, "the receipt does not wait for it")
	lease := s.live(1)[0]
	require.Equal(t, "lease-1", lease.ID)
	require.Equal(t, theBundle, lease.BundleID)
	require.Equal(t, receipt.RequestID, lease.RequestID)
	require.Equal(t, "scale", lease.Action)
	require.Equal(t, "deployment/shop/checkout", lease.Target)

	s.stop()
	require.Len(t, s.live(1), 1)
	s.run()
	require.Len(t, s.live(1), 1)
	s.set(func() { s.noEnd = nil })
	s.live(0)
	s.stop()
	require.Equal(t, []string{"lease-1"}, s.ended)
	require.Zero(t, s.revoked)
}

// Tried again within the same life, too.
func TestALeaseIsEndedOnceThatIsPossible(t *testing.T) {
	s := newScene(t)
	s.noEnd = errors.New("the API server is away")
	require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
	s.receipt(theBundle)
	s.live(1)
	s.set(func() { s.noEnd = nil })
	s.live(0)
	require.Equal(t, 1, s.leased())
}

func TestARefusedCredentialIsNotLive(t *testing.T) {
	s := newScene(t)
	s.noLease = fmt.Errorf("%w: no", credentials.ErrRefused)
	s.onIssue = func() { s.set(func() { s.late += 3 * time.Second }) } // past what is not believed at once
	require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
	require.Equal(t, refusal.CredentialRefused, s.receipt(theBundle).Refusal.Reason)
	s.live(0)
}

// The lease is written down with the claim: a spoke killed between the claim and the credential's answer knows that there may be one.
func TestALeaseIsWrittenDownBeforeItIsAskedFor(t *testing.T) {
	s := newScene(t)
	asked := make(chan []journal.Lease, 1)
	s.onIssue = func() {
		leases, err := s.journal.Leases()
		require.NoError(t, err)
		asked <- leases
	}
	require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
	leases := <-asked
	require.Len(t, leases, 1)
	require.Equal(t, theBundle, leases[0].BundleID)
	require.Empty(t, leases[0].ID)
	require.WithinDuration(t, time.Now().Add(10*time.Minute+30*time.Second), leases[0].Until, 10*time.Second)
	s.live(0)
}

// What nobody here can end any more counts as live until its own end, and is not asked about again before.
func TestALeaseOutOfReachIsLiveUntilItsEnd(t *testing.T) {
	s := newScene(t)
	s.noEnd = fmt.Errorf("lost: %w", credentials.ErrOutOfReach)
	require.NoError(t, s.executor.Bundle(t.Context(), s.f.Seal(s.f.Bundle(s.f.Order()))))
	s.receipt(theBundle)
	s.live(1)
	s.stop()
	s.set(func() { s.late = 11 * time.Minute })
	s.run()
	s.live(0)
}
