package vault_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestSetupAgainChangesNothing(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east")
	read := func() (out []map[string]any) {
		for _, path := range []string{"kubernetes-east/config", "sys/policies/acl/writ-east", "auth/cert/certs/writ-east", "sys/mounts/kubernetes-east"} {
			secret, err := s.root.Logical().ReadWithContext(t.Context(), path)
			require.NoError(t, err)
			require.NotNil(t, secret, path)
			out = append(out, secret.Data)
		}
		return out
	}
	before := read()
	lease, err := s.spoke(t, "east").Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.NoError(t, err)
	s.setup(t, "east")
	require.Equal(t, before, read())
	require.NoError(t, lease.Revoke(t.Context()), "leases survive it")
}

func TestSetupRefusesNamesThatVaultReadsAsPatterns(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	for name, change := range map[string]func(*vault.SetupOptions){
		"any cluster":           func(o *vault.SetupOptions) { o.Cluster = "*" },
		"clusters by prefix":    func(o *vault.SetupOptions) { o.Cluster = "eas*" },
		"a path":                func(o *vault.SetupOptions) { o.Cluster = "up/../down" },
		"a quote in the policy": func(o *vault.SetupOptions) { o.Cluster = `up" {}` },
		"no cluster":            func(o *vault.SetupOptions) { o.Cluster = "" },
		"any trust domain":      func(o *vault.SetupOptions) { o.TrustDomain = "*" },
	} {
		t.Run(name, func(t *testing.T) {
			o := s.options("up")
			change(&o)
			require.Error(t, vault.Setup(t.Context(), s.root, o))
			mounts, err := s.root.Sys().ListMountsWithContext(t.Context())
			require.NoError(t, err)
			require.NotContains(t, mounts, vault.Mount(o.Cluster)+"/", "nothing was written")
		})
	}
}

// A spoke that was taken over has its Vault token. It can order roles for itself in its own mount, which Kubernetes bounds; it
// can't reach anything else.
func TestAVaultTokenOfASpokeReachesNothingElse(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east", "west")
	lease, err := s.spoke(t, "east").Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.NoError(t, err)
	role := func(also string, value any) map[string]any {
		return map[string]any{"allowed_kubernetes_namespaces": []string{s.Allowed}, also: value}
	}
	rules := `{"rules":[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["patch"]}]}`
	_, err = s.root.Logical().WriteWithContext(t.Context(), "kubernetes-east/roles/writ-there", role("generated_role_rules", rules))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = s.root.Logical().DeleteWithContext(context.Background(), "kubernetes-east/roles/writ-there")
	})

	east, west := s.login(t, "east"), s.login(t, "west")
	before, roles := s.Identities(t.Context(), t, s.Allowed), s.roles(t, "east")
	for name, try := range map[string]struct {
		as   *api.Client
		path string
		data map[string]any
	}{
		"a binding beyond the namespace":          {east, "kubernetes-east/creds/writ-there", map[string]any{"kubernetes_namespace": s.Allowed, "cluster_role_binding": true}},
		"another audience":                        {east, "kubernetes-east/creds/writ-there", map[string]any{"kubernetes_namespace": s.Allowed, "audiences": "vault"}},
		"a token of an account that exists":       {east, "kubernetes-east/roles/writ-x", role("service_account_name", credentialstest.Checkout)},
		"a Role that exists":                      {east, "kubernetes-east/roles/writ-x", role("kubernetes_role_name", "writ-vault")},
		"a ClusterRole":                           {east, "kubernetes-east/roles/writ-x", role("kubernetes_role_type", "ClusterRole")},
		"namespaces by label":                     {east, "kubernetes-east/roles/writ-x", role("allowed_kubernetes_namespace_selector", "{}")},
		"a role that is not a bundle's":           {east, "kubernetes-east/roles/people", role("generated_role_rules", rules)},
		"the mount's configuration":               {east, "kubernetes-east/config", map[string]any{"kubernetes_host": "https://evil"}},
		"its own policy":                          {east, "sys/policies/acl/writ-east", map[string]any{"policy": `path "*" { capabilities = ["sudo"] }`}},
		"its own login":                           {east, "auth/cert/certs/writ-east", map[string]any{"allowed_uri_sans": "*"}},
		"a token that outlives it":                {east, "auth/token/create", map[string]any{"ttl": "768h"}},
		"a role in another cluster's mount":       {west, "kubernetes-east/roles/writ-x", role("generated_role_rules", rules)},
		"a credential in another cluster's mount": {west, "kubernetes-east/creds/writ-there", map[string]any{"kubernetes_namespace": s.Allowed}},
		"another cluster's lease":                 {west, "sys/leases/revoke", map[string]any{"lease_id": lease.ID, "sync": true}},
		"another cluster's lease, by path":        {west, "sys/leases/revoke/" + lease.ID, map[string]any{}},
		"all leases":                              {west, "sys/leases/revoke-prefix/kubernetes-east", map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := try.as.Logical().WriteWithContext(t.Context(), try.path, try.data)
			var answer *api.ResponseError
			require.ErrorAs(t, err, &answer)
			require.Equal(t, http.StatusForbidden, answer.StatusCode, "%v", answer)
		})
	}
	for _, path := range []string{"kubernetes-east/config", "kubernetes-east/roles/writ-there", "sys/mounts", "auth/cert/certs/writ-east"} {
		_, err := east.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", path)
	}
	require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed), "no identity was made or taken")
	require.Equal(t, roles, s.roles(t, "east"), "no role was made")
	require.NoError(t, lease.Revoke(t.Context()))
}

func TestNoCredentialOutlivesTheMountsBound(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "east")
	east := s.login(t, "east")
	_, err := east.Logical().WriteWithContext(t.Context(), "kubernetes-east/roles/writ-long", map[string]any{
		"allowed_kubernetes_namespaces": []string{s.Allowed}, "token_max_ttl": "24h",
		"generated_role_rules": `{"rules":[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["patch"]}]}`})
	require.NoError(t, err)
	secret, err := east.Logical().WriteWithContext(t.Context(), "kubernetes-east/creds/writ-long",
		map[string]any{"kubernetes_namespace": s.Allowed, "ttl": "24h"})
	require.NoError(t, err)
	require.LessOrEqual(t, secret.LeaseDuration, 3600)
	_, err = east.Logical().WriteWithContext(t.Context(), "sys/leases/revoke", map[string]any{"lease_id": secret.LeaseID, "sync": true})
	require.NoError(t, err)
	_, err = east.Logical().DeleteWithContext(t.Context(), "kubernetes-east/roles/writ-long")
	require.NoError(t, err)
}

// state is all that a set-up could have changed.
func (s *scene) state(t *testing.T) map[string]any {
	t.Helper()
	mounts, err := s.root.Sys().ListMountsWithContext(t.Context())
	require.NoError(t, err)
	auths, err := s.root.Sys().ListAuthWithContext(t.Context())
	require.NoError(t, err)
	policies, err := s.root.Sys().ListPoliciesWithContext(t.Context())
	require.NoError(t, err)
	state := map[string]any{"policies": policies}
	for path := range mounts {
		state["mount "+path] = mounts[path].Config
	}
	for path := range auths {
		state["auth "+path] = auths[path].Type
	}
	for _, path := range []string{"kubernetes-plan/config", vault.AuthPath + "clusters/plan", "auth/cert/certs/writ-plan"} {
		secret, err := s.root.Logical().ReadWithContext(t.Context(), path)
		var answer *api.ResponseError
		if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
			continue
		}
		require.NoError(t, err)
		if secret != nil {
			state[path] = secret.Data
		}
	}
	return state
}

func TestAPlanChangesNothingAndSaysNoSecret(t *testing.T) {
	s := newScene(t, worldtest.Vault(t))
	before := s.state(t)
	steps, err := vault.Plan(t.Context(), s.root, s.options("plan"))
	require.NoError(t, err)
	says := ""
	for _, step := range steps {
		says += step.Says + "\n"
	}
	require.Contains(t, says, "mount the Kubernetes engine at kubernetes-plan/")
	require.Contains(t, says, "pin the cluster plan to its UID")
	require.NotContains(t, says, s.token)
	require.Equal(t, before, s.state(t))
}

// One way to issue takes the other away: a login by certificate would be a way around the judge.
func TestSetupTakesTheOtherWayAway(t *testing.T) {
	s := newStock(t, worldtest.Vault(t))
	s.setup(t, "plan")
	inspect := func() vault.ClusterState {
		state, err := vault.Inspect(t.Context(), s.root, []string{"plan"})
		require.NoError(t, err)
		return state.Clusters["plan"]
	}
	host := s.Cluster.Server()
	require.Equal(t, vault.ClusterState{Mounted: true, Host: host, Stock: true}, inspect())
	s.stock = false
	s.setup(t, "plan")
	judged := s.state(t)
	require.Equal(t, vault.ClusterState{Mounted: true, Host: host, Pinned: true, Hands: true}, inspect())
	require.NotContains(t, judged["policies"], "writ-plan")
	s.setup(t, "plan")
	require.Equal(t, judged, s.state(t), "again changes nothing")
	s.oidc = true
	s.setup(t, "plan")
	vouched := vault.ClusterState{Pinned: true, Hands: true, Vouched: true, Audience: "spiffe://" + domain.Name() + "/cluster/plan"}
	require.Equal(t, vouched, inspect(), "and the mount is gone, with all that it issued")
	s.setup(t, "plan")
	require.Equal(t, vouched, inspect())
	s.oidc, s.stock = false, true
	s.setup(t, "plan")
	require.Equal(t, vault.ClusterState{Mounted: true, Host: host, Stock: true}, inspect())
	s.oidc, s.stock = true, false
	s.setup(t, "plan")
	require.Equal(t, vouched, inspect(), "nor may the spoke log in by its certificate any more")
	require.NoError(t, vault.Remove(t.Context(), s.root, "plan"))
	require.Equal(t, vault.ClusterState{}, inspect())
	s.oidc, s.stock = false, true
	s.setup(t, "plan")
	o := s.options("plan")
	o.TokenEnds = time.Date(2027, 2, 24, 9, 0, 0, 0, time.UTC)
	require.NoError(t, vault.Setup(t.Context(), s.root, o))
	require.Equal(t, o.TokenEnds, inspect().TokenEnds)
	require.NoError(t, vault.Remove(t.Context(), s.root, "plan"))
	require.Equal(t, vault.ClusterState{}, inspect())
	require.NoError(t, vault.Remove(t.Context(), s.root, "plan"), "removing again is no error")
}
