package spoke_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// What RBAC must leave open for Vault to issue, the fence closes: Vault's account reaches identities of its own making alone.
func TestTheFenceAroundVaultsAccount(t *testing.T) {
	s := credentialstest.New(t, true)
	vault, err := kubernetes.NewForConfig(s.Account(t, spoke.SystemNamespace, spoke.VaultAccount))
	require.NoError(t, err)
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	create := func(ctx context.Context, options metav1.CreateOptions) error {
		_, err := vault.CoreV1().ServiceAccounts(s.Allowed).Create(ctx, &corev1.ServiceAccount{ObjectMeta: named("a")}, options)
		return err
	}
	_, err = s.Admin.CoreV1().ServiceAccounts(s.Allowed).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: named("somebody")}, metav1.CreateOptions{})
	require.NoError(t, err)
	worldtest.Eventually(t, "the fence to be in force", func(ctx context.Context) error {
		if create(ctx, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}) == nil {
			return errors.New("it is not")
		}
		return nil
	})
	binding := func(name, role, account, namespace string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: namespace}}}
	}
	bind := func(b *rbacv1.RoleBinding) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := vault.RbacV1().RoleBindings(s.Allowed).Create(ctx, b, metav1.CreateOptions{})
			return err
		}
	}
	for name, attempt := range map[string]func(context.Context) error{
		"binds somebody's role":        bind(binding("v-a", "admin", "v-a", s.Allowed)),
		"binds its own rights":         bind(binding(spoke.VaultAccount, spoke.VaultAccount, spoke.VaultAccount, s.Allowed)),
		"binds to somebody's account":  bind(binding("v-a", "v-a", "somebody", s.Allowed)),
		"binds to another namespace's": bind(binding("v-a", "v-a", "v-a", "default")),
		"binds under another name":     bind(binding("a", "a", "a", s.Allowed)),
		"makes an account with some name": func(ctx context.Context) error {
			return create(ctx, metav1.CreateOptions{})
		},
		"makes a role with some name": func(ctx context.Context) error {
			_, err := vault.RbacV1().Roles(s.Allowed).Create(ctx, &rbacv1.Role{ObjectMeta: named("a")}, metav1.CreateOptions{})
			return err
		},
		"uses somebody's account": func(ctx context.Context) error {
			_, err := vault.CoreV1().ServiceAccounts(s.Allowed).CreateToken(ctx, "somebody", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		},
		"deletes somebody's account": func(ctx context.Context) error {
			return vault.CoreV1().ServiceAccounts(s.Allowed).Delete(ctx, "somebody", metav1.DeleteOptions{})
		},
		"deletes somebody's role": func(ctx context.Context) error {
			return vault.RbacV1().Roles(s.Allowed).Delete(ctx, spoke.VaultAccount, metav1.DeleteOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Identities(t.Context(), t, s.Allowed)
			require.ErrorContains(t, attempt(t.Context()), "ValidatingAdmissionPolicy 'writ-vault'")
			require.Equal(t, before, s.Identities(t.Context(), t, s.Allowed), "nothing was written")
		})
	}
}
