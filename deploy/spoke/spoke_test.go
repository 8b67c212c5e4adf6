package spoke_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

func TestTheSpokesOwnAccountChangesNothing(t *testing.T) {
	t.Run("with tokens of the API server", func(t *testing.T) {
		s := credentialstest.New(t, false)
		who := s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)
		s.MayNothingElse(t, who)
		require.Equal(t, []string{
			"create serviceaccounts/token writ-actions/writ-action-rollback",
			"create serviceaccounts/token writ-actions/writ-action-scale",
		}, credentialstest.Changing(s.Rights(t, who)), "the authorizer's own answer to every question")
	})
	t.Run("with Vault", func(t *testing.T) {
		s := credentialstest.New(t, true)
		who := s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)
		s.MayNothingElse(t, who)
	})
}

func TestTheSpokeReadsNoSecretsAndNoConfiguration(t *testing.T) {
	s := credentialstest.New(t, false)
	for _, right := range s.Rights(t, s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)) {
		_, what, _ := strings.Cut(right, " ")
		for _, never := range []string{"secrets", "configmaps", "nodes", "pods/", "rbac"} {
			require.False(t, strings.HasPrefix(what, never), right)
		}
	}
}

func TestVaultsAccountGrantsOnlyWhatTheCatalogueNeeds(t *testing.T) {
	s := credentialstest.New(t, true)
	rights := credentialstest.Changing(s.Rights(t, s.Account(t, spoke.SystemNamespace, spoke.VaultAccount)))
	require.NotEmpty(t, rights)
	may := map[string]bool{}
	for _, right := range rights {
		require.Contains(t, right, " allowed/", "outside the allowed namespace")
		what, _, _ := strings.Cut(right, " allowed/")
		may[what] = true
	}
	require.Equal(t, map[string]bool{
		"bind rbac.authorization.k8s.io/roles": true,
		"create serviceaccounts":               true, "delete serviceaccounts": true, "create serviceaccounts/token": true,
		"create rbac.authorization.k8s.io/roles": true, "delete rbac.authorization.k8s.io/roles": true,
		"create rbac.authorization.k8s.io/rolebindings": true, "delete rbac.authorization.k8s.io/rolebindings": true,
		"patch apps/deployments": true, "patch apps/statefulsets": true, "patch apps/daemonsets": true,
		"patch apps/deployments/scale": true, "patch apps/statefulsets/scale": true, "patch apps/replicasets/scale": true,
	}, may)
}

func TestManifests(t *testing.T) {
	for name, c := range map[string]struct {
		options spoke.Options
		says    string
	}{
		"an unknown action":                    {spoke.Options{Actions: []string{"scale", "reboot"}}, `the catalogue has no "reboot"; it has [`},
		"no name of a namespace":               {spoke.Options{Namespaces: []string{"shop,pay"}}, `"shop,pay" is no name of a namespace`},
		"a star":                               {spoke.Options{Namespaces: []string{"*"}, Vault: true}, `"*" is no name of a namespace`},
		"Writ's own namespace":                 {spoke.Options{Namespaces: []string{"writ-system"}}, "it is Writ's own"},
		"the namespace of actions' accounts":   {spoke.Options{Namespaces: []string{"writ-actions"}}, "it is Writ's own"},
		"kube-system, where Vault would issue": {spoke.Options{Namespaces: []string{"kube-system"}, Vault: true}, "every account there"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := spoke.Manifests(c.options)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, raw)
		})
	}
	only, err := spoke.Manifests(spoke.Options{Namespaces: []string{"shop", "pay"}, Actions: []string{"scale"}})
	require.NoError(t, err)
	objects, err := apply.Parse(only)
	require.NoError(t, err)
	var names []string
	for _, object := range objects {
		names = append(names, strings.TrimPrefix(object.GetKind()+"/"+object.GetNamespace()+"/"+object.GetName(), "/"))
	}
	require.Equal(t, []string{"Namespace//writ-system", "Namespace//writ-actions", "ServiceAccount/writ-system/writ-spoke",
		"ClusterRole//writ-spoke", "ClusterRoleBinding//writ-spoke", "ServiceAccount/writ-actions/writ-action-scale",
		"Role/shop/writ-action-scale", "RoleBinding/shop/writ-action-scale", "Role/pay/writ-action-scale", "RoleBinding/pay/writ-action-scale",
		"Role/writ-actions/writ-spoke", "RoleBinding/writ-actions/writ-spoke"}, names)
}
