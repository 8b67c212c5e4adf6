package vault_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/identity"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func scale(ctx context.Context, client *kubernetes.Clientset, namespace, name string) error {
	_, err := client.AppsV1().Deployments(namespace).Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{FieldManager: "writ-order-1"}, "scale")
	return err
}

func TestACredentialTouchesItsTargetAloneAndIsGoneOnceRevoked(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	lease, err := s.spoke(t, "east").Issue(t.Context(), v, life)
	require.NoError(t, err)
	require.Equal(t, "vault", lease.Issuer)
	require.True(t, strings.HasPrefix(lease.ID, "kubernetes-east/creds/writ-bundle-"), lease.ID)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), lease.Expires, time.Minute)
	require.Nil(t, s.roles(t, "east"), "the engine's role is gone as soon as the credential is there")

	roles := s.Roles(t.Context(), t, s.Allowed, v.Order().ID)
	require.Len(t, roles, 1, "the identity says which order it is for")
	require.Equal(t, v.Order().Rules, roles[0].Rules, "exactly the rules of the order")
	require.Equal(t, []string{credentialstest.Checkout}, roles[0].Rules[0].ResourceNames)

	config := lease.RESTConfig(s.Anonymous())
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	require.NoError(t, scale(t.Context(), client, s.Allowed, credentialstest.Checkout))
	s.MayNothingElse(t, config)
	require.Equal(t, []string{"get apps/deployments/scale allowed/checkout", "patch apps/deployments/scale allowed/checkout"},
		s.Rights(t, config), "the authorizer's own answer to every question")

	require.NoError(t, lease.Revoke(t.Context()))
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed), "Role, RoleBinding and ServiceAccount are gone")
	require.NoError(t, lease.Revoke(t.Context()), "revoking is repeatable")
	generation := live(t, s).Generation
	worldtest.Eventually(t, "the credential to be refused", func(ctx context.Context) error {
		if err := scale(ctx, client, s.Allowed, credentialstest.Checkout); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("got %w, want unauthorized", err)
		}
		return nil
	})
	require.Equal(t, generation, live(t, s).Generation)
}

func live(t *testing.T, s *scene) *appsv1.Deployment {
	t.Helper()
	got, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(t, err)
	return got
}

func TestARollbackReadsItsHistoryToo(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east")
	lease, err := s.spoke(t, "east").Issue(t.Context(), s.Verified(t, "rollback", s.Allowed, `{"revision":1}`), life)
	require.NoError(t, err)
	require.Equal(t, []string{"get apps/deployments allowed/checkout", "list apps/replicasets allowed/*", "list apps/replicasets allowed/checkout",
		"list apps/replicasets allowed/payment", "patch apps/deployments allowed/checkout"}, s.Rights(t, lease.RESTConfig(s.Anonymous())))
	require.NoError(t, lease.Revoke(t.Context()))
}

// refused demands a refusal of Issue that left nothing behind.
func refused(t *testing.T, s *scene, i *vault.Issuer, v trust.Verified, says string) {
	t.Helper()
	before := s.Identities(t.Context(), t, v.Order().Target.Namespace)
	lease, err := i.Issue(t.Context(), v, life)
	require.ErrorIs(t, err, credentials.ErrRefused)
	require.ErrorContains(t, err, says)
	oneLine(t, err)
	require.Nil(t, lease)
	require.Equal(t, before, s.Identities(t.Context(), t, v.Order().Target.Namespace))
	require.Nil(t, s.roles(t, "east"))
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	require.NotContains(t, err.Error(), "\n")
}

func TestWhoeverIsNotTheClustersSpokeIsRefused(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east", "west")
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	stranger, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	for name, who := range map[string]*identity.SVID{
		"another cluster's spoke": svid(t, s.ca, clusterID(t, "west")),
		"the hub":                 svid(t, s.ca, identity.Hub(domain)),
		"another CA":              svid(t, stranger, clusterID(t, "east")),
	} {
		t.Run(name, func(t *testing.T) { refused(t, s, s.issuer(t, "east", who), v, "logging in as cluster east") })
	}
	t.Run("a cluster that was not set up", func(t *testing.T) {
		refused(t, s, s.issuer(t, "north", svid(t, s.ca, clusterID(t, "north"))), v, "logging in as cluster north")
	})
	t.Run("a namespace that the cluster's admin did not allow", func(t *testing.T) {
		refused(t, s, s.spoke(t, "east"), s.Verified(t, "scale", s.Other, `{"replicas":4}`), "apply deploy/spoke")
	})
}

func TestASVIDThatWasRenewedIsUsed(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east")
	stranger, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	source := identity.NewSource(svid(t, stranger, clusterID(t, "east")), s.ca.Authorities())
	i := s.issuerOf(t, "east", source.ClientCertificate)
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	refused(t, s, i, v, "logging in")
	source.Set(svid(t, s.ca, clusterID(t, "east")), s.ca.Authorities())
	lease, err := i.Issue(t.Context(), v, life)
	require.NoError(t, err)
	require.NoError(t, lease.Revoke(t.Context()))
}

func TestALostVaultTokenIsReplacedAndOneLoginServesAll(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east")
	var mu sync.Mutex
	shown := 0
	who := svid(t, s.ca, clusterID(t, "east"))
	source := identity.NewSource(who, s.ca.Authorities())
	i := s.issuerOf(t, "east", func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		shown++
		return source.ClientCertificate(info)
	})
	issue := func(n int) {
		verified := make([]trust.Verified, n)
		for k := range verified {
			verified[k] = s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
		}
		var wait sync.WaitGroup
		results := make([]error, n)
		for k, v := range verified {
			wait.Go(func() {
				lease, err := i.Issue(t.Context(), v, life)
				if err == nil {
					err = lease.Revoke(t.Context())
				}
				results[k] = err
			})
		}
		wait.Wait()
		require.NoError(t, errors.Join(results...))
	}
	issue(1)
	once := shown
	issue(1)
	require.Equal(t, once, shown, "no second login while the token lives")
	s.revokeTokens(t)
	issue(3)
	require.Greater(t, shown, once)
	require.Nil(t, s.roles(t, "east"))
}

func TestVaultSealedOrGoneIsAFault(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real servers")
	}
	server, err := worldvault.Start(t.Context(), worldvault.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	s := newStock(t, server)
	s.setup(t, "east")
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	before := s.Identities(t.Context(), t, s.Allowed)
	standing, newcomer := s.spoke(t, "east"), s.spoke(t, "east")
	lease, err := standing.Issue(t.Context(), v, life)
	require.NoError(t, err)
	fault := func(says string) {
		for _, i := range []*vault.Issuer{standing, newcomer} {
			got, err := i.Issue(t.Context(), v, life)
			require.ErrorContains(t, err, says)
			require.NotErrorIs(t, err, credentials.ErrRefused)
			oneLine(t, err)
			require.Nil(t, got)
		}
	}
	require.NoError(t, server.Seal(t.Context()))
	fault("vault is sealed or starting")
	require.ErrorContains(t, lease.Revoke(t.Context()), "vault is sealed")
	require.NoError(t, server.Unseal(t.Context()))
	require.NoError(t, lease.Revoke(t.Context()))
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))

	again, err := newcomer.Issue(t.Context(), v, life)
	require.NoError(t, err)
	require.NoError(t, again.Revoke(t.Context()))
	server.Stop()
	fault("vault cannot be reached")
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
}
