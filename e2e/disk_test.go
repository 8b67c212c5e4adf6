package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// The disk under the spoke's journal fills up: what cannot be written down is not done, the request says so, and once there
// is room it is taken.
func TestTheJournalsDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "spoke-east", "journal")
	require.NoError(t, os.MkdirAll(disk, 0o700))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=48m,mode=0700"); err != nil {
		t.Skipf("SKIPPED: a full disk is not tested, since this user may not mount one: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	f := start(t, fleet.Options{Dir: dir, Clusters: []string{"east"}, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	first, second := w.create(ctx, "first"), w.create(ctx, "second")
	w.succeeded(ctx, w.scale(ctx, "first", 4), first)

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	r := w.scale(ctx, "second", 4)
	waiting, err := f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseDispatched && strings.Contains(r.Status.Message, "no room on the journal's disk")
	})
	require.NoError(t, err)
	require.NotContains(t, waiting.Status.Message, "\n")
	t.Log(waiting.Status.Message)
	lost := logged(t, f, "writ-spoke-east", "lost the hub")
	require.Never(t, func() bool { return w.generation(ctx, "second") != second.Generation }, 3*time.Second, 100*time.Millisecond)
	require.Equal(t, lost, logged(t, f, "writ-spoke-east", "lost the hub"), "it waits, and stays connected")

	require.NoError(t, os.Remove(filler))
	w.succeeded(ctx, r, second)
	running(t, f, "writ-spoke-east")
	clean(ctx, t, f)
}

func (w *workloads) generation(ctx context.Context, name string) int64 {
	w.t.Helper()
	d := fleet.Deployment(name, 0)
	require.NoError(w.t, w.east.Get(ctx, client.ObjectKeyFromObject(d), d))
	return d.Generation
}

// fill writes until the disk is full.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	require.NoError(t, err)
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC, fmt.Sprint(err))
}
