package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// SandboxParts are what a sandbox is made of.
type SandboxParts struct {
	Cluster  *rest.Config // the spoke's own identity: it makes the Jobs, and reads their pods
	Pod      Pod
	Root     trust.Source
	Audience bundle.Audience
	Veil     func(requestID string) []byte
	// Otherwise is what is done where no pod says anything; nil: then there is no answer.
	Otherwise Stage
	// Begin is how long a pod may take to start; 30 s where zero.
	Begin time.Duration
	Log   *slog.Logger
}

// Sandbox rehearses in a Job of its own for each rehearsal, in a namespace of its own.
type Sandbox struct {
	SandboxParts
	client rest.Interface
}

// look is how often a Job's pod is looked at.
const look = 300 * time.Millisecond

// NewSandbox makes a sandbox.
func NewSandbox(parts SandboxParts) (*Sandbox, error) {
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

// errSilent is wrapped where no pod said anything that can be used.
var errSilent = errors.New("the sandbox says nothing")

// Try implements Stage.
func (s *Sandbox) Try(ctx context.Context, r trust.Rehearsable, envelope []byte) (Found, *refusal.Refusal, error) {
	said, err := s.run(ctx, r, envelope)
	if errors.Is(err, errSilent) && s.Otherwise != nil {
		s.Log.WarnContext(ctx, "rehearsing in the spoke itself instead", "rehearsal", r.Rehearsal().ID, "error", err)
		return s.Otherwise.Try(ctx, r, envelope)
	}
	if err != nil {
		return Found{}, nil, err
	}
	found := Found{Place: bundle.Sandbox, Credential: "pod:" + nameOf(r), Change: said.Change}
	if said.Refusal != nil {
		return found, said.Refusal, nil
	}
	found.Diff = *said.Diff
	return found, nil, nil
}

// nameOf is the name of a rehearsal's Job: of the same one, the same.
func nameOf(r trust.Rehearsable) string {
	return "rehearsal-" + strings.TrimPrefix(r.Digest(), "sha256:")[:24]
}

// run makes the Job, waits for its pod's word, and removes the Job.
func (s *Sandbox) run(ctx context.Context, r trust.Rehearsable, envelope []byte) (report, error) {
	asked, name := r.Rehearsal(), nameOf(r)
	task, err := json.Marshal(Task{Rehearsal: envelope, Root: s.Root.Present().Keep(), Audience: s.Audience, Lowered: r.Floor(), Veil: s.Veil(asked.RequestID)})
	if err != nil {
		return report{}, err
	}
	deadline := time.Duration(asked.DeadlineSeconds) * time.Second
	body, err := json.Marshal(jobOf(name, asked.Action, deadline, s.Pod, task))
	if err != nil {
		return report{}, err
	}
	_, err = s.client.Post().AbsPath("apis", "batch", "v1", "namespaces", tokenrequest.Sandbox, "jobs").
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx).Raw()
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return report{}, fmt.Errorf("%w: its Job was refused: %w", errSilent, err)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return report{}, fmt.Errorf("making the Job %s: %w", name, err)
	}
	defer s.remove(ctx, name)
	message, err := s.word(ctx, name, deadline+jobExtra)
	if err != nil {
		return report{}, err
	}
	said, err := decode(message)
	if err != nil {
		return report{}, fmt.Errorf("%w that can be believed: %w", errSilent, err)
	}
	if said.TooLarge {
		return report{}, fmt.Errorf("%w: the diff is larger than what a pod can say", errSilent)
	}
	return said, nil
}

// word waits for what the pod of a Job says when it ends.
func (s *Sandbox) word(ctx context.Context, name string, within time.Duration) (string, error) {
	begin, end := time.NewTimer(s.Begin), time.NewTimer(within+s.Begin)
	defer begin.Stop()
	defer end.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	begun, waits := false, "there is no pod"
	for {
		pod, err := s.pod(ctx, name)
		switch {
		case err != nil:
			waits = err.Error()
		case pod == nil:
		default:
			status := containerOf(pod)
			if status.State.Terminated != nil {
				if status.State.Terminated.ExitCode != 0 {
					return "", fmt.Errorf("%w: its pod ended with %d: %s", errSilent, status.State.Terminated.ExitCode, refusal.OneLine(status.State.Terminated.Message))
				}
				return status.State.Terminated.Message, nil
			}
			if pod.Status.Phase == corev1.PodFailed {
				return "", fmt.Errorf("%w: its pod failed: %s", errSilent, refusal.OneLine(pod.Status.Message))
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
				return "", fmt.Errorf("%w: nothing ran within %s: %s", errSilent, s.Begin, waits)
			}
		case <-end.C:
			return "", fmt.Errorf("%w: it did not end within %s", errSilent, within+s.Begin)
		case <-tick.C:
		}
	}
}

// pod is the pod of a Job; nil while there is none.
func (s *Sandbox) pod(ctx context.Context, name string) (*corev1.Pod, error) {
	raw, err := s.client.Get().AbsPath("api", "v1", "namespaces", tokenrequest.Sandbox, "pods").
		Param("labelSelector", Label+"="+name).Param("limit", "1").SetHeader("Accept", "application/json").Do(ctx).Raw()
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

func containerOf(pod *corev1.Pod) corev1.ContainerStatus {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == "rehearse" {
			return status
		}
	}
	return corev1.ContainerStatus{}
}

// remove deletes a Job and its pod; what is left all the same ends by itself.
func (s *Sandbox) remove(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := s.client.Delete().AbsPath("apis", "batch", "v1", "namespaces", tokenrequest.Sandbox, "jobs", name).
		Param("propagationPolicy", "Background").Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		s.Log.WarnContext(ctx, "the Job of a rehearsal is not removed; it ends by itself", "job", name, "error", err)
	}
}
