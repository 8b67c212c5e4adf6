package vault

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/credentials/credentialstest"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// Vault's account is as deploy/spoke makes it; then it is given more, then less, then nobody holds it: each is seen, by a real API server.
func TestVaultsAccountIsLookedAt(t *testing.T) {
	s := credentialstest.New(t, true)
	config := s.Cluster.RESTConfig()
	until := func(what string, ok func(account) bool) (a account) {
		t.Helper()
		worldtest.Eventually(t, what, func(ctx context.Context) (err error) {
			if a, err = lookAt(ctx, config); err == nil && !ok(a) {
				err = fmt.Errorf("%+v", a)
			}
			return err
		})
		return a
	}
	until("the account to be as it is made", func(a account) bool { return len(a.namespaces) == 1 && len(a.lacks)+len(a.beyond)+len(a.unfenced) == 0 })

	much := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "too-much"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: deployspoke.SystemNamespace, Name: deployspoke.VaultAccount}}}
	_, err := s.Admin.RbacV1().ClusterRoleBindings().Create(t.Context(), much, metav1.CreateOptions{})
	require.NoError(t, err)
	a := until("a ClusterRoleBinding to be seen", func(a account) bool { return len(a.beyond) > 0 })
	require.Contains(t, a.beyond, "escalate clusterroles")
	require.NoError(t, s.Admin.RbacV1().ClusterRoleBindings().Delete(t.Context(), much.Name, metav1.DeleteOptions{}))
	until("it to be gone", func(a account) bool { return len(a.beyond) == 0 })

	role, err := s.Admin.RbacV1().Roles(s.Allowed).Get(t.Context(), deployspoke.VaultAccount, metav1.GetOptions{})
	require.NoError(t, err)
	role.Rules = role.Rules[1:]
	_, err = s.Admin.RbacV1().Roles(s.Allowed).Update(t.Context(), role, metav1.UpdateOptions{})
	require.NoError(t, err)
	a = until("a right that is missing", func(a account) bool { return len(a.lacks) > 0 })
	require.Equal(t, []string{"create serviceaccounts in " + s.Allowed, "delete serviceaccounts in " + s.Allowed}, a.lacks)

	bindings := s.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	all, err := bindings.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, one := range all.Items {
		require.NoError(t, bindings.Delete(t.Context(), one.Name, metav1.DeleteOptions{}))
	}
	a = until("a fence that is missing", func(a account) bool { return len(a.unfenced) > 0 })
	require.Contains(t, a.unfenced[0], "ValidatingAdmissionPolicyBinding ")

	require.NoError(t, s.Admin.CoreV1().ServiceAccounts(deployspoke.SystemNamespace).Delete(t.Context(), deployspoke.VaultAccount, metav1.DeleteOptions{}))
	until("no account", func(a account) bool { return !a.there })
}
