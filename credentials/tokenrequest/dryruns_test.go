package tokenrequest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// For the dry run before an action there is the identity of its rehearsals: it can do nothing else, and is asked for once.
func TestDryRunsAreLent(t *testing.T) {
	s := credentialstest.New(t, false)
	i, verified := issuer(t, s), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	before := append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...)
	lease, err := i.DryRuns(t.Context(), verified)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(lease.RESTConfig(s.Anonymous()))
	require.NoError(t, err)
	worldtest.Eventually(t, "its rights to be in force", func(ctx context.Context) error {
		return scale(ctx, client, s.Allowed, credentialstest.Checkout, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	})
	require.ErrorContains(t, scale(t.Context(), client, s.Allowed, credentialstest.Checkout, metav1.PatchOptions{}), "dry runs, nothing else")
	require.ErrorContains(t, scale(t.Context(), client, s.Other, credentialstest.Checkout, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}), "forbidden")
	live, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 3, *live.Spec.Replicas)
	require.Equal(t, before, append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...), "nothing is made for it")

	again, err := i.DryRuns(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":5}`))
	require.NoError(t, err)
	require.Equal(t, lease.String(), again.String(), "one token of an action")
	other, err := i.DryRuns(t.Context(), s.Verified(t, "rollout-restart", s.Allowed, `{}`))
	require.NoError(t, err)
	require.NotEqual(t, lease.String(), other.String())
}
