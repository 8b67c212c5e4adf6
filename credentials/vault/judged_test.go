package vault_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/identity"
	worldvault "github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestVaultJudgesTheBundleAndMakesTheRole(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	i := s.spoke(t, "east")
	lease, err := i.Issue(t.Context(), v, life)
	require.NoError(t, err)
	require.Equal(t, "kubernetes-east/creds/writ-"+v.Decoded().Bundle.ID, lease.ID)
	require.Equal(t, i.Foretell(v), lease.ID)
	require.WithinDuration(t, time.Now().Add(life), lease.Expires, 3*time.Second, "the credential ends with the action's deadline")

	roles := s.Roles(t.Context(), t, s.Allowed, v.Order().ID)
	require.Len(t, roles, 1, "the identity says which order it is for")
	require.Equal(t, v.Order().Rules, roles[0].Rules, "exactly the rules of the order")

	config := lease.RESTConfig(s.Anonymous())
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	require.NoError(t, scale(t.Context(), client, s.Allowed, credentialstest.Checkout))
	s.MayNothingElse(t, config)
	require.Equal(t, []string{"get apps/deployments/scale allowed/checkout", "patch apps/deployments/scale allowed/checkout"},
		s.Rights(t, config), "the authorizer's own answer to every question")

	again, err := s.spoke(t, "east").Issue(t.Context(), v, life)
	require.ErrorIs(t, err, credentials.ErrRefused)
	require.ErrorContains(t, err, "was used at")
	oneLine(t, err)
	require.Nil(t, again)

	require.NoError(t, lease.Revoke(t.Context()))
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed), "Role, RoleBinding and ServiceAccount are gone")
	require.NoError(t, lease.Revoke(t.Context()), "revoking is repeatable")
	worldtest.Eventually(t, "the credential to be refused", func(ctx context.Context) error {
		if err := scale(ctx, client, s.Allowed, credentialstest.Checkout); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("got %w, want unauthorized", err)
		}
		return nil
	})
}

func TestASpokeWithoutItsClustersBundleIsRefused(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	s.setup(t, "east", "west")
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	stranger, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	before := s.Identities(t.Context(), t, s.Allowed)
	refused := func(i *vault.Issuer, v trust.Verified, says string) {
		lease, err := i.Issue(t.Context(), v, life)
		require.ErrorIs(t, err, credentials.ErrRefused)
		require.ErrorContains(t, err, says)
		oneLine(t, err)
		require.Nil(t, lease)
		require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
	}
	refused(s.issuer(t, "east", svid(t, s.ca, clusterID(t, "west"))), v, "AudienceMismatch")
	refused(s.issuer(t, "east", svid(t, s.ca, identity.Hub(domain))), v, "is no cluster")
	refused(s.issuer(t, "east", svid(t, stranger, clusterID(t, "east"))), v, "unknown authority")
	refused(s.issuerOf(t, "east", func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }), v, "showed no certificate")
	refused(s.issuer(t, "north", svid(t, s.ca, clusterID(t, "north"))), v, "writ vault setup north")

	lease, err := s.spoke(t, "east").Issue(t.Context(), v, life)
	require.NoError(t, err, "nothing of that used the bundle up")
	require.NoError(t, lease.Revoke(t.Context()))
	refused(s.spoke(t, "east"), s.Verified(t, "scale", s.Other, `{"replicas":4}`), "apply deploy/spoke")
}

// shows logs in with a bundle as the spoke of a cluster does, and returns a client with the token.
func (s *scene) shows(t testing.TB, cluster string, v trust.Verified, ttl int) (*api.Client, *api.SecretAuth) {
	t.Helper()
	file := t.TempDir() + "/svid.pem"
	require.NoError(t, svid(t, s.ca, clusterID(t, cluster)).Save(file))
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = s.vault.Address(), 0
	require.NoError(t, config.ConfigureTLS(&api.TLSConfig{CACert: s.vault.CACert(), ClientCert: file, ClientKey: file}))
	client, err := api.NewClient(config)
	require.NoError(t, err)
	secret, err := client.Logical().WriteWithContext(t.Context(), vault.AuthPath+"login", map[string]any{"bundle": string(v.Decoded().Raw), "ttl": ttl})
	require.NoError(t, err)
	client.SetToken(secret.Auth.ClientToken)
	return client, secret.Auth
}

// A spoke that was taken over has the token of a bundle. It gets the one credential that the bundle orders, and nothing else.
func TestTheTokenOfABundleReachesItsCredentialAlone(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	s.setup(t, "east", "west")
	mine, other := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), s.Verified(t, "rollback", s.Allowed, `{"revision":1}`)
	client, auth := s.shows(t, "east", mine, 0)
	_, _ = s.shows(t, "east", other, 0)
	require.Equal(t, []string{vault.GrantPolicy("east", mine.Decoded().Bundle.ID)}, auth.Policies)
	require.LessOrEqual(t, auth.LeaseDuration, 31, "the deadline, and the second in which it was made")
	require.False(t, auth.Renewable)
	own, others := "kubernetes-east/creds/"+vault.RoleName(mine.Decoded().Bundle.ID), "kubernetes-east/creds/"+vault.RoleName(other.Decoded().Bundle.ID)
	with := func(also string, value any) map[string]any {
		return map[string]any{"kubernetes_namespace": s.Allowed, "ttl": "600s", also: value}
	}
	role := map[string]any{"allowed_kubernetes_namespaces": []string{s.Allowed}, "generated_role_rules": `{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`}
	before := s.Identities(t.Context(), t, s.Allowed)
	for name, try := range map[string]struct {
		path string
		data map[string]any
	}{
		"a binding beyond the namespace": {own, with("cluster_role_binding", true)},
		"another namespace":              {own, map[string]any{"kubernetes_namespace": s.Other, "ttl": "600s"}},
		"a longer life":                  {own, map[string]any{"kubernetes_namespace": s.Allowed, "ttl": "3600s"}},
		"another audience":               {own, with("audiences", "vault")},
		"another bundle's credential":    {others, with("ttl", "600s")},
		"another cluster's":              {strings.Replace(own, "east", "west", 1), with("ttl", "600s")},
		"its own role, wider":            {strings.Replace(own, "creds", "roles", 1), role},
		"a role of its choice":           {"kubernetes-east/roles/writ-x", role},
		"the mount's configuration":      {"kubernetes-east/config", map[string]any{"kubernetes_host": "https://evil"}},
		"its own policy":                 {"sys/policies/acl/" + auth.Policies[0], map[string]any{"policy": `path "*" { capabilities = ["sudo"] }`}},
		"whom Vault believes":            {vault.AuthPath + "config", map[string]any{"trust_root": "{}"}},
		"the cluster's pin":              {vault.AuthPath + "clusters/east", map[string]any{"cluster_uid": "mine"}},
		"the method's hands":             {vault.AuthPath + "hands", map[string]any{"cluster": "east", "secret": "guess"}},
		"a token that outlives it":       {"auth/token/create", map[string]any{"ttl": "768h"}},
		"a longer token":                 {"auth/token/renew-self", map[string]any{"increment": "1h"}},
		"all leases":                     {"sys/leases/revoke-prefix/kubernetes-east", map[string]any{}},
		"another's lease":                {"sys/leases/revoke", map[string]any{"lease_id": others + "/x", "sync": true}},
		"another's leases":               {"sys/leases/revoke-prefix/" + others, map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Logical().WriteWithContext(t.Context(), try.path, try.data)
			var answer *api.ResponseError
			require.ErrorAs(t, err, &answer)
			require.Equal(t, http.StatusForbidden, answer.StatusCode, "%v", answer)
		})
	}
	for _, path := range []string{"kubernetes-east/config", strings.Replace(own, "creds", "roles", 1), "sys/mounts", vault.AuthPath + "config", "sys/policies/acl/" + auth.Policies[0]} {
		_, err := client.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", path)
	}
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed), "no identity was made")
	secret, err := client.Logical().WriteWithContext(t.Context(), own, with("ttl", "600s"))
	require.NoError(t, err)
	require.NotEmpty(t, secret.LeaseID)
	_, err = client.Logical().DeleteWithContext(t.Context(), grant("east", other))
	require.ErrorContains(t, err, "permission denied")
	require.Contains(t, s.grants(t, "east"), other.Decoded().Bundle.ID)
	s.endGrant(t, "east", mine)
	_, err = client.Logical().WriteWithContext(t.Context(), own, with("ttl", "600s"))
	require.ErrorContains(t, err, "permission denied", "its grant has ended")
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
}

// grant is where whoever runs Vault ends what a bundle got.
func grant(cluster string, v trust.Verified) string {
	return vault.AuthPath + "grants/" + cluster + "/" + v.Decoded().Bundle.ID
}

func (s *scene) endGrant(t testing.TB, cluster string, v trust.Verified) {
	t.Helper()
	_, err := s.root.Logical().DeleteWithContext(t.Context(), grant(cluster, v))
	require.NoError(t, err)
}

// grants are the bundles that have got something that may not have ended.
func (s *scene) grants(t testing.TB, cluster string) []any {
	t.Helper()
	secret, err := s.root.Logical().ListWithContext(t.Context(), vault.AuthPath+"grants/"+cluster)
	require.NoError(t, err)
	if secret == nil {
		return nil
	}
	listed, _ := secret.Data["keys"].([]any)
	return listed
}

// A spoke that was killed has lost its token. Its successor gives back what the bundle got all the same, and at once.
func TestASpokeGivesBackWhatAnEarlierOneGot(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	earlier := s.spoke(t, "east")
	lease, err := earlier.Issue(t.Context(), v, life)
	require.NoError(t, err)
	next := s.spoke(t, "east")
	require.NoError(t, next.End(t.Context(), next.Foretell(v)+"/as-an-earlier-release-wrote-it"))
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
	require.NotContains(t, s.roles(t, "east"), vault.RoleName(v.Decoded().Bundle.ID))
	require.NoError(t, next.End(t.Context(), next.Foretell(v)), "it has ended")
	require.NoError(t, lease.Revoke(t.Context()), "so has this")
	_, err = next.Issue(t.Context(), v, life)
	require.ErrorContains(t, err, "was used at", "the bundle stays used")
	_, err = earlier.Issue(t.Context(), v, life)
	require.ErrorIs(t, err, credentials.ErrRefused, "nor has the token that was had before any worth")
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))

	unknown := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	require.NoError(t, next.End(t.Context(), next.Foretell(unknown)), "it never got anything")
	lease, err = next.Issue(t.Context(), unknown, life)
	require.NoError(t, err)
	require.NoError(t, lease.Revoke(t.Context()))
	require.ErrorIs(t, next.End(t.Context(), "kubernetes-west/creds/writ-x"), credentials.ErrOutOfReach)
}

// A grant is ended from outside while a credential of it is being issued. That comes all the same: its spoke gives it back as ever.
func TestACredentialThatWasBeingIssuedIsGivenBack(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	line := worldtest.NewLine(t, strings.TrimPrefix(s.Cluster.Server(), "https://"))
	s.host = "https://" + line.Address()
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	i, v := s.spoke(t, "east"), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	line.Hold(true)
	issued := make(chan error, 1)
	go func() {
		_, err := i.Issue(t.Context(), v, life)
		issued <- err
	}()
	require.Eventually(t, func() bool { return line.Stood() > 0 }, time.Minute, 5*time.Millisecond)
	s.endGrant(t, "east", v)
	line.Hold(false)
	require.NoError(t, <-issued)
	require.NotEqual(t, before, s.Identities(t.Context(), t, s.Allowed))
	require.Contains(t, s.grants(t, "east"), v.Decoded().Bundle.ID, "it can be ended from outside once more")
	require.NoError(t, i.End(t.Context(), i.Foretell(v)))
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
}

// Nobody gives back what another cluster's bundle got.
func TestAGrantIsEndedByItsOwnSpokeAlone(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	s.setup(t, "east", "west")
	v := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	lease, err := s.spoke(t, "east").Issue(t.Context(), v, life)
	require.NoError(t, err)
	stranger, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	west := s.spoke(t, "west")
	require.NoError(t, west.End(t.Context(), west.Foretell(v)), "of its own it has none of that name")
	for says, i := range map[string]*vault.Issuer{
		"is no cluster":         s.issuer(t, "east", svid(t, s.ca, identity.Hub(domain))),
		"unknown authority":     s.issuer(t, "east", svid(t, stranger, clusterID(t, "east"))),
		"showed no certificate": s.issuerOf(t, "east", func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }),
	} {
		err := i.End(t.Context(), i.Foretell(v))
		require.ErrorContains(t, err, says)
		oneLine(t, err)
	}
	require.Contains(t, s.grants(t, "east"), v.Decoded().Bundle.ID)
	client, err := kubernetes.NewForConfig(lease.RESTConfig(s.Anonymous()))
	require.NoError(t, err)
	require.NoError(t, scale(t.Context(), client, s.Allowed, credentialstest.Checkout), "the credential lives")
	require.NoError(t, lease.Revoke(t.Context()))
}

// A spoke that dies gives nothing back. Vault takes it back at the action's deadline.
func TestNoLeaseOutlivesItsDeadline(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	const short = 3 * time.Second
	_, err := s.spoke(t, "east").Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), short)
	require.NoError(t, err)
	deadline := time.Now().Add(short)
	require.NotEqual(t, before, s.Identities(t.Context(), t, s.Allowed))
	worldtest.Eventually(t, "the identity to be gone", func(ctx context.Context) error {
		if now := s.Identities(ctx, t, s.Allowed); len(now) != len(before) {
			return fmt.Errorf("still there: %v", now)
		}
		return nil
	})
	late := time.Since(deadline)
	t.Logf("gone %s after the deadline", late.Round(10*time.Millisecond))
	require.Less(t, late, 10*time.Second)
}

// own is a Vault for one test alone, with everything set up.
func own(t *testing.T) *scene {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real servers")
	}
	server, err := worldvault.Start(t.Context(), worldvault.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	return newScene(t, server)
}

func TestVaultSealedRestartedOrItsPluginKilled(t *testing.T) {
	s := own(t)
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	i := s.spoke(t, "east")
	issue := func(v trust.Verified) {
		lease, err := i.Issue(t.Context(), v, life)
		require.NoError(t, err)
		require.NoError(t, lease.Revoke(t.Context()))
		require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
	}
	used := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	issue(used)

	// Sealed between login and read: the token is still good afterwards.
	halfway := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	client, _ := s.shows(t, "east", halfway, 0)
	require.NoError(t, s.vault.Seal(t.Context()))
	sealed := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	_, err := i.Issue(t.Context(), sealed, life)
	require.ErrorContains(t, err, "vault is sealed or starting")
	require.NotErrorIs(t, err, credentials.ErrRefused)
	require.NoError(t, s.vault.Unseal(t.Context()))
	_, err = client.Logical().WriteWithContext(t.Context(), "kubernetes-east/creds/"+vault.RoleName(halfway.Decoded().Bundle.ID),
		map[string]any{"kubernetes_namespace": s.Allowed, "ttl": "600s"})
	require.NoError(t, err)
	s.endGrant(t, "east", halfway)
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed))
	issue(sealed)
	_, err = s.spoke(t, "east").Issue(t.Context(), used, life)
	require.ErrorContains(t, err, "was used at", "sealing forgets nothing")

	// The plugin's process is killed: Vault starts another.
	killed, err := s.vault.KillPlugin(worldvault.AuthPlugin)
	require.NoError(t, err)
	require.NotZero(t, killed)
	crashed := s.Verified(t, "scale", s.Allowed, `{"replicas":4}`)
	worldtest.Eventually(t, "the plugin to be back", func(ctx context.Context) error {
		lease, err := i.Issue(ctx, crashed, life)
		if err == nil {
			err = lease.Revoke(ctx)
		}
		return err
	})
	_, err = s.spoke(t, "east").Issue(t.Context(), used, life)
	require.ErrorContains(t, err, "was used at", "nor does a crash")

	s.vault.Stop()
	_, err = i.Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.ErrorContains(t, err, "vault cannot be reached")
	require.NotErrorIs(t, err, credentials.ErrRefused)
}

// The API server is away when a lease is to be revoked: Vault tries until it is back.
func TestARevocationIsTriedUntilItIsDone(t *testing.T) {
	s := own(t)
	line := worldtest.NewLine(t, strings.TrimPrefix(s.Cluster.Server(), "https://"))
	s.host = "https://" + line.Address()
	s.setup(t, "east")
	before := s.Identities(t.Context(), t, s.Allowed)
	lease, err := s.spoke(t, "east").Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.NoError(t, err)
	line.Cut(true)
	err = lease.Revoke(t.Context())
	require.Error(t, err)
	oneLine(t, err)
	require.NotEqual(t, before, s.Identities(t.Context(), t, s.Allowed))
	line.Cut(false)
	worldtest.Eventually(t, "Vault to take the identity back", func(ctx context.Context) error {
		if now := s.Identities(ctx, t, s.Allowed); len(now) != len(before) {
			return fmt.Errorf("still there: %v", now)
		}
		return nil
	})
}
