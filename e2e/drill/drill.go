// Package drill changes every key of a running fleet while actions flow, and says what that did to them.
package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

const (
	// workload is what the actions are about.
	workload = "drill"
	// LateAfter is how long an action may take, from the request to its observed outcome.
	LateAfter = 15 * time.Second
	// between is the pause after an action: the hub counts what people ask for in a minute, and Vault's engine issues no more than 1.25
	// credentials a second in a cluster in the long run (docs/performance.md). An action at a time with this pause asks for 0.7 at most.
	between = 1500 * time.Millisecond
	// around is how many actions each cluster sees before the first rotation, after each, and after the last.
	around = 2
)

// Report is what became of the actions.
type Report struct {
	Actions int           // that were under way during the drill
	High    int           // of them those of tier high, signed by approvers across the rotation of a key
	Lost    []string      // that did not succeed, and how they ended
	Late    int           // that took longer than LateAfter
	Pause   time.Duration // the longest between two that succeeded in one cluster
	Slowest time.Duration
	Steps   []Step
}

// Step is one rotation.
type Step struct {
	What string
	Took time.Duration
}

// flow is the actions of all clusters.
type flow struct {
	mu   sync.Mutex // guards what follows
	done map[string]int
	last map[string]time.Time
	r    Report
}

// RotateAll rotates the CA with every SVID, the gateway's key and an approver's key, and what Vault has where that issues the credentials,
// while each cluster of the fleet is asked for one action after the other. step is told of each thing done.
func RotateAll(ctx context.Context, f *fleet.Fleet, step func(since time.Time, format string, args ...any)) (Report, error) {
	for name := range f.Clusters {
		c, err := f.Workloads(name)
		if err != nil {
			return Report{}, err
		}
		if err := c.Create(ctx, fleet.Deployment(workload, 3)); err != nil {
			return Report{}, err
		}
		if err := fleet.Ready(ctx, c, workload, fleet.GoodImage); err != nil {
			return Report{}, err
		}
	}
	flowing := &flow{done: map[string]int{}, last: map[string]time.Time{}}
	group, ctx := errgroup.WithContext(ctx)
	stop := make(chan struct{})
	for name := range f.Clusters {
		group.Go(func() error { return flowing.run(ctx, f, name, stop) })
	}
	group.Go(func() error {
		defer close(stop)
		return flowing.rotate(ctx, f, step)
	})
	err := group.Wait()
	return flowing.r, err
}

// run asks for one action after the other until it is stopped; the last one is waited for.
func (w *flow) run(ctx context.Context, f *fleet.Fleet, cluster string, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(between):
		}
		r := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("drill-%s-%d", cluster, n)},
			Spec: v1alpha1.ActionRequestSpec{Cluster: cluster, Action: "scale", Parameters: &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"replicas":%d}`, 4+n%2)},
				Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: workload}}}
		from := time.Now()
		if err := f.Client.Create(ctx, r); err != nil {
			return err
		}
		r, err := f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
			return r.Status.Phase.Final()
		})
		if err != nil {
			return err
		}
		w.count(cluster, r, from)
	}
}

func (w *flow) count(cluster string, r *v1alpha1.ActionRequest, from time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.r.Actions++
	w.done[cluster]++
	w.r.Slowest = max(w.r.Slowest, now.Sub(from))
	if now.Sub(from) > LateAfter {
		w.r.Late++
	}
	if w.lost(r) {
		return
	}
	if last, ok := w.last[cluster]; ok {
		w.r.Pause = max(w.r.Pause, now.Sub(last))
	}
	w.last[cluster] = now
}

// signed counts an action of tier high: it has waited for people, so that it is neither late nor a pause.
func (w *flow) signed(r *v1alpha1.ActionRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.r.Actions++
	w.r.High++
	w.lost(r)
}

// lost notes an action that did not succeed. The caller holds the lock.
func (w *flow) lost(r *v1alpha1.ActionRequest) bool {
	if r.Status.Phase == v1alpha1.PhaseSucceeded {
		return false
	}
	w.r.Lost = append(w.r.Lost, fmt.Sprintf("%s: %s: %s", r.Name, r.Status.Phase, r.Status.Message))
	return true
}

// flows waits until every cluster has seen some more actions.
func (w *flow) flows(ctx context.Context, f *fleet.Fleet) error {
	count := func() (least int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		least = w.r.Actions
		for name := range f.Clusters {
			least = min(least, w.done[name])
		}
		return least
	}
	for want := count() + around; count() < want; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for actions to flow: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// rotate does what the people of the fleet would do, with their commands.
func (w *flow) rotate(ctx context.Context, f *fleet.Fleet, step func(time.Time, string, ...any)) error {
	if f.Transit {
		return errors.New("the drill does not rotate a gateway's key that is in Vault yet")
	}
	dir := filepath.Join(f.Dir, "drill")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	vital := &high{cluster: slices.Min(slices.Collect(maps.Keys(f.Clusters))), renewed: filepath.Join(dir, "approvers")}
	renewed, err := fleet.MakeApprovers(vital.renewed, nil)
	if err != nil {
		return err
	}
	if err := vital.begin(ctx, f); err != nil {
		return err
	}
	for _, one := range rotations(f, dir, renewed[:2]) {
		if !one.hurry {
			if err := w.flows(ctx, f); err != nil {
				return err
			}
		}
		from := time.Now()
		if err := one.do(ctx, f); err != nil {
			return err
		}
		w.r.Steps = append(w.r.Steps, Step{one.what, time.Since(from)})
		step(from, "rotated %s", one.what)
	}
	if err := vital.end(ctx, f, w); err != nil {
		return err
	}
	return w.flows(ctx, f)
}

// Print writes the table, and last how many were lost.
func (r Report) Print(out io.Writer) {
	for _, s := range r.Steps {
		fmt.Fprintf(out, "%-40s %s\n", s.What, s.Took.Round(10*time.Millisecond))
	}
	for _, row := range []struct {
		what  string
		value any
	}{{"actions in flight", r.Actions}, {"of them of tier high, signed across it", r.High}, {"late (over " + LateAfter.String() + ")", r.Late}, {"slowest", r.Slowest.Round(10 * time.Millisecond)},
		{"longest pause in a cluster", r.Pause.Round(10 * time.Millisecond)}} {
		fmt.Fprintf(out, "%-40s %v\n", row.what, row.value)
	}
	for _, lost := range r.Lost {
		fmt.Fprintln(out, "lost:", lost)
	}
	fmt.Fprintf(out, "%d lost\n", len(r.Lost))
}
