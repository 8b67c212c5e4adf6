package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

// upgrade moves the hub, then the spokes, to another release while both clusters are worked on. Every action is done once, or
// was interrupted and says so.
func upgrade(s *scene) {
	next := os.Getenv("WRIT_NEXT_TAG")
	require.NotEmpty(s, next)
	workers := s.workers("busy")
	traffic := s.drive(workers)

	for _, name := range []string{stage.Hub, stage.East, stage.West} {
		began := time.Now()
		require.NoError(s, s.Upgrade(s.ctx, name, "--set", "image.tag="+next))
		say(began, "%s upgraded and ready", name)
		program := "writ-spoke"
		if name == stage.Hub {
			program = "writ-hub"
		} else {
			require.NoError(s, s.Connected(s.ctx, name, began, time.Minute))
			status, err := s.Presence(s.ctx, name)
			require.NoError(s, err)
			require.Equal(s, next, status.SpokeVersion)
		}
		var pod corev1.Pod
		require.NoError(s, s.Clusters[name].Client.Get(s.ctx, client.ObjectKey{Namespace: stage.Namespace, Name: program + "-0"}, &pod))
		require.True(s, strings.HasSuffix(pod.Spec.Containers[0].Image, ":"+next), pod.Spec.Containers[0].Image)
	}
	require.NoError(s, traffic())
	for _, w := range workers {
		say(time.Now(), "%s: %d changes made under way, %d interrupted", w.cluster, w.done, w.not)
		require.NotZero(s, w.done)
		require.NoError(s, w.remove(s.ctx))
	}
}

// workers are one for each workload cluster.
func (s *scene) workers(name string) (all []*worker) {
	s.Helper()
	for _, cluster := range []string{stage.East, stage.West} {
		w, err := newWorker(s.ctx, s.Stage, cluster, name)
		require.NoError(s, err)
		all = append(all, w)
	}
	return all
}

// drive keeps workers at work until the returned function is called, which returns their errors.
func (s *scene) drive(workers []*worker) (stop func() error) {
	var group sync.WaitGroup
	ended := make(chan struct{})
	failures := make([]error, len(workers))
	for i, w := range workers {
		group.Go(func() {
			for failures[i] == nil {
				select {
				case <-ended:
					return
				default:
					failures[i] = s.once(w)
				}
			}
		})
	}
	return func() error {
		close(ended)
		group.Wait()
		return errors.Join(failures...)
	}
}

func (s *scene) once(w *worker) error {
	r, err := w.ask(s.ctx)
	if err == nil {
		err = s.Until(s.ctx, r, 2*time.Minute, v1alpha1.Phase.Final)
	}
	if err == nil {
		err = w.settle(context.WithoutCancel(s.ctx), r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w.cluster, err)
	}
	return nil
}
