package rehearsal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/rehearsal"
)

// rehearsable is a rehearsal of an action on the Deployment Checkout as it is now.
func rehearsable(t *testing.T, s *credentialstest.Scene, action, parameters string) trust.Rehearsable {
	t.Helper()
	live, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	target := catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: s.Allowed, Name: credentialstest.Checkout, UID: string(live.UID)}
	return s.Fixture.Rehearsable(s.Fixture.OrderFor(action, target, catalogue.Facts{UID: target.UID, Generation: live.Generation,
		Replicas: *live.Spec.Replicas, ReadyReplicas: *live.Spec.Replicas}, parameters))
}

// The spoke's own account rehearses on a real API server: it says what would change, the same each time, and changes nothing.
func TestARehearsalInTheSpoke(t *testing.T) {
	s := credentialstest.New(t, false)
	issuer, err := tokenrequest.New(s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount))
	require.NoError(t, err)
	stage := rehearsal.InProcess{Issuer: issuer, Cluster: s.Anonymous(), DryRun: executor.Rehearse, Now: time.Now,
		Veil: func(string) []byte { return []byte("veil") }}
	for name, tc := range map[string]struct {
		action, parameters string
		want               []diff.Field
	}{
		"scale":         {"scale", `{"replicas":9}`, []diff.Field{{Path: "spec.replicas", Before: "3", After: "9"}}},
		"scale to zero": {"scale", `{"replicas":0}`, []diff.Field{{Path: "spec.replicas", Before: "3", After: "0"}}},
		"restart": {"rollout-restart", `{}`, []diff.Field{{Path: `spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]`,
			After: `"\u003cthe time of the change\u003e"`}}},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
			require.NoError(t, err)
			found, no, err := stage.Try(t.Context(), rehearsable(t, s, tc.action, tc.parameters), nil)
			require.NoError(t, err)
			require.Nil(t, no)
			require.Equal(t, tc.want, found.Diff.Changes)
			require.Equal(t, bundle.InProcess, found.Place)
			require.Contains(t, found.Credential, "tokenrequest:")
			stage := stage
			stage.Now = func() time.Time { return time.Now().Add(time.Hour) }
			again, _, err := stage.Try(t.Context(), rehearsable(t, s, tc.action, tc.parameters), nil)
			require.NoError(t, err)
			require.Equal(t, found.Diff.Digest(), again.Diff.Digest(), "an hour later it is the same")
			after, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
			require.NoError(t, err)
			require.Equal(t, before, after, "nothing was written")
		})
	}
	t.Run("what does not exist any more", func(t *testing.T) {
		r := rehearsable(t, s, "scale", `{"replicas":9}`)
		_, err := s.Admin.AppsV1().Deployments(s.Allowed).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		_, no, err := stage.Try(t.Context(), r, nil)
		require.NoError(t, err)
		require.Equal(t, refusal.TargetChanged, no.Reason)
	})
}

// The lease of a rehearsal sends nothing that would change something, even before admission is asked.
func TestTheLeaseOfARehearsalMakesDryRunsAlone(t *testing.T) {
	s := credentialstest.New(t, false)
	client, err := kubernetes.NewForConfig(credentials.OnlyDryRuns(s.Cluster.RESTConfig())) // with all rights
	require.NoError(t, err)
	patch := func(options metav1.PatchOptions) error {
		_, err := client.AppsV1().Deployments(s.Allowed).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), options)
		return err
	}
	require.ErrorContains(t, patch(metav1.PatchOptions{}), "a rehearsal reads and makes dry runs, nothing else")
	require.NoError(t, patch(metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}))
	require.ErrorContains(t, client.AppsV1().Deployments(s.Allowed).Delete(context.Background(), credentialstest.Checkout, metav1.DeleteOptions{}), "dry runs")
	live, err := client.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 3, *live.Spec.Replicas)
}
