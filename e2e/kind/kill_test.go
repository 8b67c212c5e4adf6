package kind

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// blow ends a program of ours in a way of its own, some time after an action was asked for.
type blow struct {
	after time.Duration
	pod   bool // the pod is deleted by force; else the process is killed in the node
}

// An action takes half a second, and a blow a tenth of one to fall.
var blows = []blow{{0, true}, {0, false}, {50 * time.Millisecond, true}, {100 * time.Millisecond, false}, {150 * time.Millisecond, true}, {300 * time.Millisecond, true}}

// killHub: the hub dies in the middle of an action, and comes back. The change is made, once.
func killHub(s *scene) {
	w := s.kill(stage.Hub, "writ-hub")
	require.Equal(s, len(blows), w.done, "none was interrupted: the spoke ran on")
}

// killSpoke: a spoke dies in the middle. The change is made once, or not at all, and the request says so.
func killSpoke(s *scene) { s.kill(stage.East, "writ-spoke") }

func (s *scene) kill(where, program string) *worker {
	s.Helper()
	w, err := newWorker(s.ctx, s.Stage, stage.East, "under-fire-"+where)
	require.NoError(s, err)
	first := time.Now()
	for _, b := range blows {
		r, err := w.ask(s.ctx)
		require.NoError(s, err)
		began := time.Now()
		s.wait(b.after)
		stood := s.phase(r)
		require.NoError(s, b.strike(s, where, program))
		require.NoError(s, s.Until(s.ctx, r, 2*time.Minute, v1alpha1.Phase.Final))
		require.NoError(s, w.settle(s.ctx, r))
		say(began, "%s killed (pod %t) %s after the request, when it stood at %q: it ended as %s", program, b.pod, b.after, stood, r.Status.Phase)
		require.NoError(s, s.ready(where, program+"-0"))
	}
	require.NoError(s, s.Connected(s.ctx, stage.East, first, time.Minute))
	require.NoError(s, w.remove(s.ctx))
	say(time.Now(), "%s: %d changes made, %d interrupted", program, w.done, w.not)
	return w
}

func (b blow) strike(s *scene, where, program string) error {
	c := s.Clusters[where]
	if !b.pod {
		return c.Kill(s.ctx, program)
	}
	return c.Client.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: stage.Namespace, Name: program + "-0"}}, client.GracePeriodSeconds(0))
}

// wait lets time pass: when the blow falls is what is tested.
func (s *scene) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

func (s *scene) phase(r *v1alpha1.ActionRequest) v1alpha1.Phase {
	require.NoError(s, s.Clusters[stage.Hub].Client.Get(s.ctx, client.ObjectKeyFromObject(r), r))
	return r.Status.Phase
}

// ready waits until a pod is.
func (s *scene) ready(where, pod string) error {
	return stage.Await(s.ctx, pod+" to be ready", 2*time.Minute, func(ctx context.Context) error {
		var p corev1.Pod
		if err := s.Clusters[where].Client.Get(ctx, client.ObjectKey{Namespace: stage.Namespace, Name: pod}, &p); err != nil {
			return err
		}
		return isReady(p)
	})
}
