package tokenrequest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

func clientOf(t *testing.T, s *credentialstest.Scene, lease *credentials.Lease) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(lease.RESTConfig(s.Anonymous()))
	require.NoError(t, err)
	return client
}

func scale(ctx context.Context, client *kubernetes.Clientset, namespace, name string, options metav1.PatchOptions) error {
	options.FieldManager = "writ-order-1"
	_, err := client.AppsV1().Deployments(namespace).Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), options, "scale")
	return err
}

func TestACredentialDoesItsActionAndNothingElse(t *testing.T) {
	s := credentialstest.New(t, false)
	lease := s.Lease(t, "scale", `{"replicas":4}`)
	require.Equal(t, "tokenrequest", lease.Issuer)
	require.Regexp(t, "^"+s.Allowed+`/[0-9a-f]{16}\.scale\.deployments\.checkout$`, lease.ID)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), lease.Expires, time.Minute)

	config, client := lease.RESTConfig(s.Anonymous()), clientOf(t, s, lease)
	require.NotContains(t, fmt.Sprintf("%s %+v %#v", lease, *lease, *lease), config.BearerToken)
	worldtest.Eventually(t, "its rights to be in force", func(ctx context.Context) error {
		return scale(ctx, client, s.Allowed, credentialstest.Checkout, metav1.PatchOptions{})
	})
	require.True(t, apierrors.IsForbidden(scale(t.Context(), client, s.Other, credentialstest.Checkout, metav1.PatchOptions{})))
	scaled, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 4, *scaled.Spec.Replicas)

	// RBAC binds the action and the namespace, admission the one object.
	s.MayNothingElse(t, config)
	require.Equal(t, []string{
		"get apps/deployments/scale allowed/*", "get apps/deployments/scale allowed/checkout", "get apps/deployments/scale allowed/payment",
		"get apps/replicasets/scale allowed/*", "get apps/replicasets/scale allowed/checkout", "get apps/replicasets/scale allowed/payment",
		"get apps/statefulsets/scale allowed/*", "get apps/statefulsets/scale allowed/checkout", "get apps/statefulsets/scale allowed/payment",
		"patch apps/deployments/scale allowed/*", "patch apps/deployments/scale allowed/checkout", "patch apps/deployments/scale allowed/payment",
		"patch apps/replicasets/scale allowed/*", "patch apps/replicasets/scale allowed/checkout", "patch apps/replicasets/scale allowed/payment",
		"patch apps/statefulsets/scale allowed/*", "patch apps/statefulsets/scale allowed/checkout", "patch apps/statefulsets/scale allowed/payment",
	}, s.Rights(t, config), "the authorizer's own answer to every question")
}

func TestARevokedCredentialIsWorthNothingAndNothingIsLeftOfIt(t *testing.T) {
	s := credentialstest.New(t, false)
	before := append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...)
	lease := s.Lease(t, "scale", `{"replicas":4}`)
	client := clientOf(t, s, lease)
	dry := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
	worldtest.Eventually(t, "its rights to be in force", func(ctx context.Context) error {
		return scale(ctx, client, s.Allowed, credentialstest.Checkout, dry)
	})
	ends := time.Now()
	require.NoError(t, lease.Revoke(t.Context()))
	require.NoError(t, lease.Revoke(t.Context()), "revoking is repeatable")
	require.Equal(t, before, append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...))
	worldtest.Eventually(t, "its rights to be gone", func(ctx context.Context) error {
		if scale(ctx, client, s.Allowed, credentialstest.Checkout, dry) == nil {
			return errors.New("they are not")
		}
		return nil
	})
	powerless := time.Since(ends)
	worldtest.Eventually(t, "the API server to know it no longer", func(ctx context.Context) error {
		if err := scale(ctx, client, s.Allowed, credentialstest.Checkout, dry); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("it said %w", err)
		}
		return nil
	})
	t.Logf("powerless after %s, unknown after %s", powerless.Round(time.Millisecond), time.Since(ends).Round(time.Millisecond))
	require.Less(t, powerless, 10*time.Second)
	require.Less(t, time.Since(ends), 15*time.Second, "the API server takes a token for good for ten seconds")
}

func TestTheIDIsTheOneOfTheAPIServersAuditLog(t *testing.T) {
	s := credentialstest.New(t, false)
	lease := s.Lease(t, "scale", `{"replicas":4}`)
	who := credentialstest.WhoAmI(t, clientOf(t, s, lease))
	_, account, _ := strings.Cut(lease.ID, "/")
	require.Equal(t, "system:serviceaccount:writ-actions:"+account, who.Username)
}

// Nobody else's identity helps: two actions of one kind on one object are two identities, and the end of one is not the other's.
func TestEachActionHasAnIdentityOfItsOwn(t *testing.T) {
	s := credentialstest.New(t, false)
	one, other := s.Lease(t, "scale", `{"replicas":4}`), s.Lease(t, "scale", `{"replicas":4}`)
	require.NotEqual(t, one.ID, other.ID)
	worldtest.Eventually(t, "its rights to be in force", func(ctx context.Context) error {
		return scale(ctx, clientOf(t, s, other), s.Allowed, credentialstest.Checkout, metav1.PatchOptions{})
	})
	require.NoError(t, one.Revoke(t.Context()))
	require.NoError(t, scale(t.Context(), clientOf(t, s, other), s.Allowed, credentialstest.Checkout, metav1.PatchOptions{}))
}

// What a spoke issued and could not end, its successor does.
func TestASweepEndsWhatIsLeft(t *testing.T) {
	s := credentialstest.New(t, false)
	before := append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...)
	s.Lease(t, "scale", `{"replicas":4}`)
	s.Lease(t, "rollout-restart", `{}`)
	require.NotEqual(t, before, append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...))
	ended, err := issuer(t, s).Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, ended)
	require.Equal(t, before, append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...))
	ended, err = issuer(t, s).Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, ended)
}

func TestALongerActionGetsALongerToken(t *testing.T) {
	s := credentialstest.New(t, false)
	lease, err := issuer(t, s).Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), 20*time.Minute)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(20*time.Minute), lease.Expires, time.Minute)
	require.NoError(t, lease.Revoke(t.Context()))
}

func TestRefusals(t *testing.T) {
	s := credentialstest.New(t, false)
	verified := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	identities := func() []string {
		return append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...)
	}
	before := identities()
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
	t.Run("an action that is not allowed", func(t *testing.T) {
		rights := s.Admin.RbacV1().Roles(s.Allowed)
		role, err := rights.Get(t.Context(), tokenrequest.Binder, metav1.GetOptions{})
		require.NoError(t, err)
		role.Rules[1].ResourceNames = []string{tokenrequest.Role("rollback")}
		_, err = rights.Update(t.Context(), role, metav1.UpdateOptions{})
		require.NoError(t, err)
		worldtest.Eventually(t, "the right to be gone", func(ctx context.Context) error {
			lease, err := issuer(t, s).Issue(ctx, verified, life)
			if err == nil {
				return errors.Join(errors.New("it is not"), lease.Revoke(ctx))
			}
			require.ErrorIs(t, err, credentials.ErrRefused)
			require.ErrorContains(t, err, "apply deploy/spoke with this action allowed")
			return nil
		})
	})
	require.Equal(t, before, identities(), "nothing is left")
}
