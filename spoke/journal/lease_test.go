package journal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/spoke/journal"
)

// A lease is on disk with the claim, outlives the receipt and a restart, and is forgotten once it has ended.
func TestALeaseIsKeptUntilItHasEnded(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	require.NoError(t, j.Init(journal.Head{Epoch: 1}))
	require.NoError(t, j.Take(entry(1)))
	lease := journal.Lease{BundleID: name(1), Action: "scale", Since: noon, Until: noon.Add(time.Minute)}
	free := func(bundle.Freezes) error { return nil }
	_, err := j.ClaimUnless(name(1), noon, &lease, free)
	require.NoError(t, err)
	refused(t, j, journal.ErrClaimed, func() error { _, err := j.ClaimUnless(name(1), noon, &lease, free); return err })
	refused(t, j, journal.ErrUnknown, func() error { return j.Issued(name(2), "x") })
	require.NoError(t, j.Issued(name(1), "lease-1"))
	require.NoError(t, j.Finish(name(1), []byte("receipt"), nil))
	require.NoError(t, j.Close())

	j = open(t, dir)
	lease.ID = "lease-1"
	leases, err := j.Leases()
	require.NoError(t, err)
	require.Equal(t, []journal.Lease{lease}, leases)
	require.NoError(t, j.Ended(name(1)))
	require.NoError(t, j.Ended(name(1)))
	leases, err = j.Leases()
	require.NoError(t, err)
	require.Empty(t, leases)
}
