package tokenrequest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

const life = 30 * time.Second

// issuer is one that has what the spoke's own account may do, and no more.
func issuer(t testing.TB, s *credentialstest.Scene) *tokenrequest.Issuer {
	t.Helper()
	i, err := tokenrequest.New(s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount))
	require.NoError(t, err)
	return i
}

func TestACredentialDoesItsActionAndNothingElse(t *testing.T) {
	s := credentialstest.New(t, false)
	lease, err := issuer(t, s).Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.NoError(t, err)
	require.Equal(t, "tokenrequest", lease.Issuer)
	require.NotEmpty(t, lease.ID)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), lease.Expires, time.Minute)

	config := lease.RESTConfig(s.Anonymous())
	require.NotContains(t, fmt.Sprintf("%s %+v %#v", lease, *lease, *lease), config.BearerToken)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	patch := func(namespace string) error {
		_, err := client.AppsV1().Deployments(namespace).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType,
			[]byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{}, "scale")
		return err
	}
	require.NoError(t, patch(s.Allowed))
	require.True(t, apierrors.IsForbidden(patch(s.Other)))
	scaled, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 4, *scaled.Spec.Replicas)

	// Without Vault the action's account is bound to namespaces, not to one target.
	s.MayNothingElse(t, config, "scale another Deployment", "scale a StatefulSet")
	require.Equal(t, []string{
		"get apps/deployments/scale allowed/*", "get apps/deployments/scale allowed/checkout", "get apps/deployments/scale allowed/payment",
		"get apps/replicasets/scale allowed/*", "get apps/replicasets/scale allowed/checkout", "get apps/replicasets/scale allowed/payment",
		"get apps/statefulsets/scale allowed/*", "get apps/statefulsets/scale allowed/checkout", "get apps/statefulsets/scale allowed/payment",
		"patch apps/deployments/scale allowed/*", "patch apps/deployments/scale allowed/checkout", "patch apps/deployments/scale allowed/payment",
		"patch apps/replicasets/scale allowed/*", "patch apps/replicasets/scale allowed/checkout", "patch apps/replicasets/scale allowed/payment",
		"patch apps/statefulsets/scale allowed/*", "patch apps/statefulsets/scale allowed/checkout", "patch apps/statefulsets/scale allowed/payment",
	}, s.Rights(t, config), "the authorizer's own answer to every question")

	require.NoError(t, lease.Revoke(t.Context()))
	require.NoError(t, lease.Revoke(t.Context()), "revoking is repeatable")
}

func TestTheIDIsTheOneOfTheAPIServersAuditLog(t *testing.T) {
	s := credentialstest.New(t, false)
	lease, err := issuer(t, s).Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(lease.RESTConfig(s.Anonymous()))
	require.NoError(t, err)
	who := credentialstest.WhoAmI(t, client)
	require.Equal(t, "system:serviceaccount:writ-actions:writ-action-scale", who.Username)
	require.Equal(t, []string{"JTI=" + lease.ID}, []string(who.Extra["authentication.kubernetes.io/credential-id"]))
}

func TestALongerActionGetsALongerToken(t *testing.T) {
	s := credentialstest.New(t, false)
	lease, err := issuer(t, s).Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), 20*time.Minute)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(20*time.Minute), lease.Expires, time.Minute)
}

func TestRefusals(t *testing.T) {
	s := credentialstest.New(t, false)
	verified := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	before := s.Identities(t.Context(), t, tokenrequest.Namespace)
	t.Run("an account that may not ask", func(t *testing.T) {
		i, err := tokenrequest.New(s.Account(t, s.Allowed, credentialstest.Checkout))
		require.NoError(t, err)
		lease, err := i.Issue(t.Context(), verified, life)
		require.ErrorIs(t, err, credentials.ErrRefused)
		require.ErrorContains(t, err, "apply deploy/spoke with this action allowed")
		require.Nil(t, lease)
	})
	t.Run("an identity that is no longer known may be a matter of time", func(t *testing.T) {
		config := s.Anonymous()
		config.BearerToken = "expired"
		i, err := tokenrequest.New(config)
		require.NoError(t, err)
		lease, err := i.Issue(t.Context(), verified, life)
		require.Error(t, err)
		require.NotErrorIs(t, err, credentials.ErrRefused)
		require.Nil(t, lease)
	})
	t.Run("an API server that is gone is a fault", func(t *testing.T) {
		config := s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)
		config.Host = "https://127.0.0.1:1"
		i, err := tokenrequest.New(config)
		require.NoError(t, err)
		lease, err := i.Issue(t.Context(), verified, life)
		require.ErrorContains(t, err, "connection refused")
		require.NotErrorIs(t, err, credentials.ErrRefused)
		require.Nil(t, lease)
	})
	t.Run("whoever gave up gets nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		lease, err := issuer(t, s).Issue(ctx, verified, life)
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, lease)
	})
	require.Equal(t, before, s.Identities(t.Context(), t, tokenrequest.Namespace))
}

func BenchmarkIssue(b *testing.B) {
	s := credentialstest.New(b, false)
	i, v := issuer(b, s), s.Verified(b, "scale", s.Allowed, `{"replicas":4}`)
	for b.Loop() {
		if _, err := i.Issue(b.Context(), v, life); err != nil {
			b.Fatal(err)
		}
	}
}
