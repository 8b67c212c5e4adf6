// Package sandbox has a pod of the spoke's own image do one piece of work, in a Job of its own, in the namespace writ-sandbox, and
// returns the pod's last words.
//
// What a pod says is read as a stranger's: whoever asked for the work judges the words. Whatever comes of it, the Job is removed,
// and with it what let its pod out of the sandbox; what a spoke that died has left is swept by the next.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// MaxMessage bounds what a pod can say, in bytes: the kubelet keeps no more of a termination message.
const MaxMessage = 4096

// Parts are what a sandbox is made of.
type Parts struct {
	Cluster *rest.Config // the spoke's own identity: it makes the Jobs, and reads their pods
	Pod     Pod
	// Begin is how long a pod may take to start; 30 s where zero.
	Begin time.Duration
	Log   *slog.Logger
}

// Sandbox runs pods. It may be used by several goroutines.
type Sandbox struct {
	Parts
	client rest.Interface
}

// look is how often a Job's pod is looked at.
const look = 300 * time.Millisecond

// New makes a sandbox.
func New(parts Parts) (*Sandbox, error) {
	if parts.Begin == 0 {
		parts.Begin = 30 * time.Second
	}
	config := rest.CopyConfig(parts.Cluster)
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	config.QPS = -1
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the sandbox: %w", err)
	}
	return &Sandbox{parts, client}, nil
}

// ErrSilent is wrapped where no pod said anything that can be used.
var ErrSilent = errors.New("the sandbox says nothing")

// Run has a pod do a piece of work, and returns what it said when it ended well. The same work again, while it is under way, is the
// same pod.
func (s *Sandbox) Run(ctx context.Context, w Work) (string, error) {
	defer s.remove(ctx, w)
	if w.Egress != nil { // before its pod begins
		if err := s.create(ctx, networkPolicies(), w.Name, w.opening()); err != nil {
			return "", err
		}
	}
	if err := s.create(ctx, jobs(), w.Name, w.job(s.Pod)); err != nil {
		return "", err
	}
	return s.word(ctx, w, w.Deadline+jobExtra)
}

func jobs() []string {
	return []string{"apis", "batch", "v1", "namespaces", tokenrequest.Sandbox, "jobs"}
}

func networkPolicies() []string {
	return []string{"apis", "networking.k8s.io", "v1", "namespaces", tokenrequest.Sandbox, "networkpolicies"}
}

func (s *Sandbox) create(ctx context.Context, path []string, name string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = s.client.Post().AbsPath(path...).SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx).Raw()
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return fmt.Errorf("%w: its %s was refused: %w", ErrSilent, path[len(path)-1], err)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making %s %s: %w", path[len(path)-1], name, err)
	}
	return nil
}

// word waits for what the pod of a Job says when it ends.
func (s *Sandbox) word(ctx context.Context, w Work, within time.Duration) (string, error) {
	begin, end := time.NewTimer(s.Begin), time.NewTimer(within+s.Begin)
	defer begin.Stop()
	defer end.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	begun, waits := false, "there is no pod"
	for {
		pod, err := s.pod(ctx, w)
		switch {
		case err != nil:
			waits = err.Error()
		case pod == nil:
		default:
			status := containerOf(pod, w.Command)
			if status.State.Terminated != nil {
				if status.State.Terminated.ExitCode != 0 {
					return "", fmt.Errorf("%w: its pod ended with %d: %s", ErrSilent, status.State.Terminated.ExitCode, refusal.OneLine(status.State.Terminated.Message))
				}
				return status.State.Terminated.Message, nil
			}
			if pod.Status.Phase == corev1.PodFailed {
				return "", fmt.Errorf("%w: its pod failed: %s", ErrSilent, refusal.OneLine(pod.Status.Message))
			}
			begun = begun || status.State.Running != nil
			waits = "its pod is " + string(pod.Status.Phase)
			if status.State.Waiting != nil {
				waits += ": " + refusal.OneLine(status.State.Waiting.Reason)
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-begin.C:
			if !begun {
				return "", fmt.Errorf("%w: nothing ran within %s: %s", ErrSilent, s.Begin, waits)
			}
		case <-end.C:
			return "", fmt.Errorf("%w: it did not end within %s", ErrSilent, within+s.Begin)
		case <-tick.C:
		}
	}
}

// pod is the pod of a Job; nil while there is none.
func (s *Sandbox) pod(ctx context.Context, w Work) (*corev1.Pod, error) {
	raw, err := s.client.Get().AbsPath("api", "v1", "namespaces", tokenrequest.Sandbox, "pods").
		Param("labelSelector", w.Label+"="+w.Name).Param("limit", "1").SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

func containerOf(pod *corev1.Pod, name string) corev1.ContainerStatus {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == name {
			return status
		}
	}
	return corev1.ContainerStatus{}
}

// removeWithin bounds one try to remove what was made.
const removeWithin = 10 * time.Second

// remove deletes a Job and its pod, and what let it out. What is left all the same ends by itself, and is swept by the next spoke.
func (s *Sandbox) remove(ctx context.Context, w Work) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	err := s.delete(ctx, jobs(), w.Name)
	if w.Egress != nil {
		err = errors.Join(err, s.delete(ctx, networkPolicies(), w.Name))
	}
	if err != nil {
		s.Log.WarnContext(ctx, "what was made in the sandbox is not removed; it ends by itself", "job", w.Name, "error", err)
	}
}

func (s *Sandbox) delete(ctx context.Context, path []string, name string) error {
	err := s.client.Delete().AbsPath(append(path, name)...).Param("propagationPolicy", "Background").Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Sweep removes the Jobs with a NetworkPolicy of their own that a spoke which died has left, by their label. No work of that label may
// be under way. It returns how many it has removed, also where it could not remove all.
func (s *Sandbox) Sweep(ctx context.Context, label string) (swept int, err error) {
	raw, err := s.client.Get().AbsPath(networkPolicies()...).Param("labelSelector", label).
		SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").Do(ctx).Raw()
	var list metav1.PartialObjectMetadataList
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return 0, fmt.Errorf("looking for what was left in the sandbox: %w", err)
	}
	for _, left := range list.Items {
		one := s.delete(ctx, jobs(), left.Name)
		if one == nil { // what names a Job that is left goes last
			one = s.delete(ctx, networkPolicies(), left.Name)
		}
		if err = errors.Join(err, one); one == nil {
			swept++
		}
	}
	return swept, err
}
