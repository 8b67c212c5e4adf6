package spoke_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
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
			"create batch/jobs writ-sandbox/*", "create batch/jobs writ-sandbox/checkout", "create batch/jobs writ-sandbox/payment",
			"create networking.k8s.io/networkpolicies writ-sandbox/*", "create networking.k8s.io/networkpolicies writ-sandbox/checkout",
			"create networking.k8s.io/networkpolicies writ-sandbox/payment",
			"create serviceaccounts/token writ-sandbox/writ-rehearsal-scale",
			"create serviceaccounts/token writ-system/writ-binder",
			"delete batch/jobs writ-sandbox/*", "delete batch/jobs writ-sandbox/checkout", "delete batch/jobs writ-sandbox/payment",
			"delete networking.k8s.io/networkpolicies writ-sandbox/*", "delete networking.k8s.io/networkpolicies writ-sandbox/checkout",
			"delete networking.k8s.io/networkpolicies writ-sandbox/payment",
		}, credentialstest.Changing(s.Rights(t, who)), "the authorizer's own answer to every question")
	})
	t.Run("with Vault", func(t *testing.T) {
		s := credentialstest.New(t, true)
		who := s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)
		s.MayNothingElse(t, who)
	})
}

func TestTheSpokeReadsNoSecretsAndConfigurationOnlyWhereActionsAreAllowed(t *testing.T) {
	s := credentialstest.New(t, false)
	for _, right := range s.Rights(t, s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)) {
		_, what, _ := strings.Cut(right, " ")
		if strings.Contains(what, " allowed/") && !strings.HasPrefix(what, "secrets") {
			continue
		}
		for _, never := range []string{"secrets", "configmaps", "pods/", "rbac", "services", "autoscaling", "discovery.k8s.io"} {
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
	needed := map[string]bool{
		"bind rbac.authorization.k8s.io/roles": true,
		"create serviceaccounts":               true, "delete serviceaccounts": true, "create serviceaccounts/token": true,
		"create rbac.authorization.k8s.io/roles": true, "delete rbac.authorization.k8s.io/roles": true,
		"create rbac.authorization.k8s.io/rolebindings": true, "delete rbac.authorization.k8s.io/rolebindings": true,
	}
	for _, name := range catalogue.ClusterNames() {
		for _, rule := range spoke.Rules(catalogue.Actions()[name]) {
			for _, verb := range rule.Verbs {
				needed[verb+" "+strings.TrimPrefix(rule.APIGroups[0]+"/"+rule.Resources[0], "/")] = true
			}
		}
	}
	for right := range may {
		require.True(t, needed[right], right)
	}
	require.Subset(t, slices.Collect(maps.Keys(may)), []string{"bind rbac.authorization.k8s.io/roles", "patch apps/deployments/scale",
		"patch apps/statefulsets", "patch services"})
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
		"the namespace of rehearsals":          {spoke.Options{Namespaces: []string{"writ-sandbox"}}, "it is Writ's own"},
		"the namespace of actions' accounts":   {spoke.Options{Namespaces: []string{"writ-actions"}}, "it is Writ's own"},
		"a node's, where Vault would issue":    {spoke.Options{Actions: []string{"cordon"}, Vault: true}, "within a namespace alone"},
		"kube-system, where Vault would issue": {spoke.Options{Namespaces: []string{"kube-system"}, Vault: true}, "every account there"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := spoke.Manifests(c.options)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, raw)
		})
	}
	all, err := spoke.Manifests(spoke.Options{Namespaces: []string{"shop"}})
	require.NoError(t, err)
	require.NotContains(t, string(all), "writ-action-cordon", "an action on nodes is allowed by name alone")
	node, err := spoke.Manifests(spoke.Options{Namespaces: []string{"shop"}, Actions: []string{"cordon"}})
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(node), "kind: ClusterRole\nmetadata:\n  name: writ-action-cordon\n")+
		strings.Count(string(node), "kind: ClusterRole\nmetadata:\n  name: "+tokenrequest.RehearsalAccount("cordon")+"\n"))
	require.NotContains(t, string(node), "namespace: shop")
	only, err := spoke.Manifests(spoke.Options{Namespaces: []string{"shop", "pay"}, Actions: []string{"scale"}})
	require.NoError(t, err)
	objects, err := apply.Parse(only)
	require.NoError(t, err)
	var names []string
	for _, object := range objects {
		names = append(names, strings.TrimPrefix(object.GetKind()+"/"+object.GetNamespace()+"/"+object.GetName(), "/"))
	}
	require.Equal(t, []string{"Namespace//writ-system", "Namespace//writ-actions", "Namespace//writ-sandbox", "ServiceAccount/writ-system/writ-spoke",
		"ServiceAccount/writ-sandbox/writ-probe", "NetworkPolicy/writ-sandbox/writ-deny", "NetworkPolicy/writ-sandbox/writ-rehearsal", "ResourceQuota/writ-sandbox/writ", "LimitRange/writ-sandbox/writ",
		"ValidatingAdmissionPolicy//writ-probe", "ValidatingAdmissionPolicyBinding//writ-probe",
		"ClusterRole//writ-spoke", "ClusterRoleBinding//writ-spoke",
		"ValidatingAdmissionPolicy//writ-rehearsal", "ValidatingAdmissionPolicyBinding//writ-rehearsal",
		"ValidatingAdmissionPolicy//writ-action", "ValidatingAdmissionPolicyBinding//writ-action",
		"ValidatingAdmissionPolicy//writ-limits", "ValidatingAdmissionPolicyBinding//writ-limits", "ConfigMap/writ-system/writ-limits",
		"ServiceAccount/writ-sandbox/writ-rehearsal-scale", "Role/shop/writ-rehearsal-scale", "RoleBinding/shop/writ-rehearsal-scale",
		"Role/pay/writ-rehearsal-scale", "RoleBinding/pay/writ-rehearsal-scale",
		"Role/writ-sandbox/writ-spoke", "RoleBinding/writ-sandbox/writ-spoke", "Role/shop/writ-action-scale", "Role/pay/writ-action-scale",
		"ServiceAccount/writ-system/writ-binder", "Role/writ-actions/writ-binder", "RoleBinding/writ-actions/writ-binder",
		"Role/writ-system/writ-spoke", "RoleBinding/writ-system/writ-spoke",
		"ValidatingAdmissionPolicy//writ-binder", "ValidatingAdmissionPolicyBinding//writ-binder",
		"Role/shop/writ-binder", "RoleBinding/shop/writ-binder", "Role/pay/writ-binder", "RoleBinding/pay/writ-binder",
		"Role/writ-actions/writ-binder-tokens", "RoleBinding/writ-actions/writ-binder-tokens"}, names)
	vouched, err := spoke.Manifests(spoke.Options{Namespaces: []string{"shop", "pay"}, Actions: []string{"scale"}, OIDC: true})
	require.NoError(t, err)
	rest, same := strings.CutPrefix(string(only), string(vouched))
	require.True(t, same)
	require.Contains(t, rest, "serviceaccounts/token", "where Vault vouches, all but the right to ask for tokens of actions")
}
