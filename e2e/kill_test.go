package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/fault"
)

// kill is one power cut, and the truth about the action that it hit. The zero end is the change, made once.
type kill struct {
	point  string
	medium bool           // the action needs an approver's word, and gets it
	end    refusal.Reason // the action was not carried out, and this says why
}

// The hub may die anywhere: the action comes through.
func hubKills() (kills []kill) {
	at := func(step string, moments ...string) {
		for _, moment := range moments {
			kills = append(kills, kill{point: "hub." + step + "." + moment})
		}
	}
	at("submit", "before", "after")
	for _, step := range []string{"validate", "inspect", "limit", "judge", "rehearse", "order", "approve", "logIntent", "sign", "dispatch", "awaitReceipt", "observe", "undo", "lease"} {
		at(step, "before", "taken", "after")
	}
	at("change", "before#1", "after#1", "before#2", "after#2", "before#3", "after#3", "before#4", "after#4") // facts, taken, receipt, outcome
	for _, point := range []string{"hub.change.before#2", "hub.change.after#2", "hub.change.before#3", "hub.change.after#3",
		"hub.rehearse.before", "hub.rehearse.taken", "hub.rehearse.after", "hub.approve.taken", "hub.approve.after", "hub.logIntent.taken"} {
		kills = append(kills, kill{point: point, medium: true}) // the second change is the rehearsal, the third the approver's word
	}
	return kills
}

// The spoke may die anywhere: before the claim the bundle is executed after all; between the claim and the change it is not,
// and never will be; after the change it is told as done.
func spokeKills() []kill {
	return []kill{
		{point: "spoke.decode.before"}, {point: "spoke.decode.after"},
		{point: "spoke.verify.before"}, {point: "spoke.verify.after"},
		{point: "spoke.judge.before"}, {point: "spoke.judge.after"},
		{point: "spoke.take.before"}, {point: "spoke.take.after"},
		{point: "spoke.claim.before"},
		{point: "spoke.claim.after", end: refusal.Interrupted},
		{point: "spoke.credential.before", end: refusal.Interrupted}, {point: "spoke.credential.after", end: refusal.Interrupted},
		{point: "spoke.dryRun.before", end: refusal.Interrupted}, {point: "spoke.dryRun.after", end: refusal.Interrupted},
		{point: "spoke.apply.before", end: refusal.Interrupted}, {point: "spoke.apply.after"},
		{point: "spoke.follow.before"}, {point: "spoke.follow.after"},
		{point: "spoke.receipt.before"}, {point: "spoke.receipt.after"},
		{point: "spoke.outcome.before"}, {point: "spoke.outcome.after"},
	}
}

// Hub or spoke is killed at every moment of an action's life and started again. The change is made exactly once, or not at all
// where the request says so; the audit log has no gap; and the next action works.
func TestKilledAtEveryMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	armed := filepath.Join(dir, "armed")
	env := []string{fault.Variable + "=" + armed}
	f := startWith(t, withFaults(t), fleet.Options{Clusters: []string{"east"}, PerMinute: 10000, Hub: env, Spoke: env})
	w := newWorkloads(t, f)

	for _, part := range []struct {
		process string
		restart func(context.Context) error
		kills   []kill
	}{
		{"writ-hub", func(ctx context.Context) error { return f.StartHub(ctx) }, hubKills()},
		{"writ-spoke-east", func(ctx context.Context) error { return f.StartSpoke(ctx, "east") }, spokeKills()},
	} {
		from := time.Now()
		for n, k := range part.kills {
			t.Run(fmt.Sprintf("%s/medium=%t", k.point, k.medium), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				name := fmt.Sprintf("%s-%d", part.process, n)
				before := w.create(ctx, name)
				require.NoError(t, os.WriteFile(armed, []byte(k.point), 0o600))
				r := k.ask(ctx, t, w, name)
				select {
				case <-f.Process(part.process).Done():
				case <-ctx.Done():
					t.Fatalf("%s never came to %s; the request: %s", part.process, k.point, statusOf(f, r))
				}
				require.NoFileExists(t, armed)
				require.NoError(t, part.restart(ctx))
				k.settle(ctx, t, f, r, before)
			})
		}
		t.Logf("%s: %d kills in %s", part.process, len(part.kills), time.Since(from).Round(time.Second))
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := w.create(ctx, "last")
	kill{}.settle(ctx, t, f, w.scale(ctx, "last", 4), before)
	clean(ctx, t, f)
}

// ask makes the request of a kill, and approves it where that is due: whenever the hub comes to ask for it.
func (k kill) ask(ctx context.Context, t *testing.T, w *workloads, name string) *v1alpha1.ActionRequest {
	t.Helper()
	if !k.medium {
		return w.scale(ctx, name, 4)
	}
	r := w.scale(ctx, name, 6)
	sre, err := w.f.As("sam", "sre")
	require.NoError(t, err)
	go func() {
		waiting, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
		if err == nil {
			err = fleet.Approve(ctx, sre, waiting, v1alpha1.Approve)
		}
		if err != nil {
			t.Errorf("approving %s: %v", name, err)
		}
	}()
	return r
}

// settle waits for the end, and holds what the request says against what the cluster says.
func (k kill) settle(ctx context.Context, t *testing.T, f *fleet.Fleet, r *v1alpha1.ActionRequest, before *appsv1.Deployment) {
	t.Helper()
	done, err := f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	require.NoError(t, err)
	east, err := f.Workloads("east")
	require.NoError(t, err)
	var after appsv1.Deployment
	require.NoError(t, east.Get(ctx, client.ObjectKeyFromObject(before), &after))
	changes := after.Generation - before.Generation
	if k.end != "" {
		require.Zero(t, changes, done.Status.Message)
		require.Equal(t, string(k.end), done.Status.Reason, done.Status.Message)
		require.Equal(t, v1alpha1.PhaseRefused, done.Status.Phase)
		return
	}
	require.Equal(t, v1alpha1.PhaseSucceeded, done.Status.Phase, done.Status.Message)
	require.EqualValues(t, 1, changes, "made once: %s", done.Status.Message)
}

func statusOf(f *fleet.Fleet, r *v1alpha1.ActionRequest) string {
	_ = f.Client.Get(context.Background(), client.ObjectKeyFromObject(r), r)
	return fmt.Sprintf("%s: %s", r.Status.Phase, r.Status.Message)
}

// clean checks that the audit log verifies, and that nothing is announced without an answer.
func clean(ctx context.Context, t *testing.T, f *fleet.Fleet) {
	t.Helper()
	var out string
	require.Eventually(t, func() bool { // the last entries are signed for within a second
		var err error
		out, err = f.Writ(ctx, "audit", "verify")
		return err == nil && strings.Contains(out, "still under way: 0") && strings.Contains(out, "0 more not signed yet")
	}, 10*time.Second, 200*time.Millisecond, "%s", &out)
	require.Contains(t, out, "nothing was found")
}

// withFaults compiles the programs so that they can be killed at a moment.
func withFaults(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, fleet.Build(t.Context(), dir, "-tags", "faults"))
	return dir
}
