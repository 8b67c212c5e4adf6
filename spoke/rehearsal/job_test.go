package rehearsal_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/rehearsal"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// kubelet runs what pods of rehearsals would, with the identity of their account.
func kubelet(ctx context.Context, t *testing.T, s *credentialstest.Scene, words func(task []byte, config *rest.Config) (string, int32)) {
	t.Helper()
	worldtest.Kubelet(ctx, t, s.Admin, tokenrequest.Sandbox, func(pod *corev1.Pod) (string, int32) {
		return words([]byte(pod.Spec.Containers[0].Env[0].Value), s.Account(t, tokenrequest.Sandbox, pod.Spec.ServiceAccountName))
	})
}

// otherwise is what is done where no pod says anything.
type otherwise struct{ tried int }

func (o *otherwise) Try(context.Context, trust.Rehearsable, []byte) (rehearsal.Found, *refusal.Refusal, error) {
	o.tried++
	return rehearsal.Found{Place: bundle.InProcess}, nil, nil
}

func sandboxOf(t *testing.T, s *credentialstest.Scene, other rehearsal.Stage) rehearsal.Sandbox {
	t.Helper()
	box, err := sandbox.New(sandbox.Parts{Cluster: s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount), Pod: sandbox.Pod{Image: "registry.test/writ-spoke:1"},
		Begin: 2 * time.Second, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return rehearsal.Sandbox{SandboxParts: rehearsal.SandboxParts{Box: box, Root: s.Fixture.Root, Audience: s.Fixture.Audience,
		Veil: func(string) []byte { return []byte("veil") }, Otherwise: other, Log: slog.New(slog.DiscardHandler)}}
}

// envelopeOf signs again what a rehearsable came from: keys and content are the same.
func envelopeOf(s *credentialstest.Scene, r trust.Rehearsable) []byte {
	return s.Fixture.SealRehearsal(r.Rehearsal())
}

// The spoke's own account rehearses in a Job: its pod is taken by an API server that enforces Pod Security "restricted", verifies
// the rehearsal for itself, finds out the same as the spoke would, and nothing is left.
func TestARehearsalInTheSandbox(t *testing.T) {
	s := credentialstest.New(t, false)
	kubelet(t.Context(), t, s, func(task []byte, config *rest.Config) (string, int32) {
		said, err := rehearsal.Perform(t.Context(), task, config, executor.Rehearse, time.Now)
		if err != nil {
			return err.Error(), 1
		}
		return string(said), 0
	})
	box := sandboxOf(t, s, nil)
	r := rehearsable(t, s, "scale", `{"replicas":9}`)
	found, no, err := box.Try(t.Context(), r, envelopeOf(s, r))
	require.NoError(t, err)
	require.Nil(t, no)
	require.Equal(t, bundle.Sandbox, found.Place)
	require.Equal(t, []diff.Field{{Path: "spec.replicas", Before: "3", After: "9"}}, found.Diff.Changes)
	require.Equal(t, "replicas 3 → 9", found.Change)
	jobs, err := s.Admin.BatchV1().Jobs(tokenrequest.Sandbox).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, job := range jobs.Items {
		require.NotNil(t, job.DeletionTimestamp, "the Job is removed")
	}
	live, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 3, *live.Spec.Replicas)

	nothing := rehearsable(t, s, "scale", `{"replicas":3}`)
	_, no, err = box.Try(t.Context(), nothing, envelopeOf(s, nothing))
	require.NoError(t, err)
	require.Equal(t, refusal.NothingToDo, no.Reason)
}

// Where no pod says anything that can be believed, the spoke rehearses itself if it may, and else does not answer.
func TestASandboxThatSaysNothing(t *testing.T) {
	for name, words := range map[string]func(task []byte, config *rest.Config) (string, int32){
		"it crashed":      func([]byte, *rest.Config) (string, int32) { return "panic", 2 },
		"it says rubbish": func([]byte, *rest.Config) (string, int32) { return "replicas 3 → 9, believe me", 0 },
		"its task was forged": func(task []byte, config *rest.Config) (string, int32) {
			var forged rehearsal.Task
			_ = json.Unmarshal(task, &forged)
			forged.Audience.Cluster = "west"
			raw, _ := json.Marshal(forged)
			said, err := rehearsal.Perform(t.Context(), raw, config, executor.Rehearse, time.Now)
			return string(said), map[bool]int32{true: 0, false: 1}[err == nil]
		},
		"nothing runs": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := credentialstest.New(t, false)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if words != nil {
				kubelet(ctx, t, s, words)
			}
			other := &otherwise{}
			r := rehearsable(t, s, "scale", `{"replicas":9}`)
			found, no, err := sandboxOf(t, s, other).Try(ctx, r, envelopeOf(s, r))
			require.NoError(t, err)
			if name == "its task was forged" {
				require.Equal(t, refusal.RehearsalRefused, no.Reason, "the pod verifies for itself")
				return
			}
			require.Nil(t, no)
			require.Equal(t, bundle.InProcess, found.Place)
			require.Equal(t, 1, other.tried)
			strict := rehearsable(t, s, "scale", `{"replicas":8}`)
			_, _, err = sandboxOf(t, s, nil).Try(ctx, strict, envelopeOf(s, strict))
			require.ErrorContains(t, err, "the sandbox says nothing")
			require.False(t, errors.Is(err, context.DeadlineExceeded))
		})
	}
}
