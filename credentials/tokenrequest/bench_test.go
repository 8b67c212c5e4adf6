package tokenrequest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/credentials/credentialstest"
)

func BenchmarkIssue(b *testing.B) {
	s := credentialstest.New(b, false)
	s.Lease(b, "scale", `{"replicas":4}`) // the rights of who issues are in force
	i, v := issuer(b, s), s.Verified(b, "scale", s.Allowed, `{"replicas":4}`)
	var revoked time.Duration
	for b.Loop() {
		lease, err := i.Issue(b.Context(), v, life)
		require.NoError(b, err)
		b.StopTimer()
		began := time.Now()
		require.NoError(b, lease.Revoke(b.Context()))
		revoked += time.Since(began)
		b.StartTimer()
	}
	b.ReportMetric(float64(revoked.Nanoseconds())/float64(b.N), "ns/revocation")
}

// BenchmarkRole is what a Role for each order would cost: somebody who holds what it grants makes it, and may not escalate.
func BenchmarkRole(b *testing.B) {
	s := credentialstest.New(b, false)
	ctx, created, meta := b.Context(), metav1.CreateOptions{}, metav1.ObjectMeta{Name: "maker", Namespace: s.Allowed}
	grants := rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments/scale"}, Verbs: []string{"get", "patch"}}
	makes := rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"create"}}
	_, err := s.Admin.CoreV1().ServiceAccounts(s.Allowed).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, created)
	require.NoError(b, err)
	_, err = s.Admin.RbacV1().Roles(s.Allowed).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{grants, makes}}, created)
	require.NoError(b, err)
	_, err = s.Admin.RbacV1().RoleBindings(s.Allowed).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "maker"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.Allowed, Name: "maker"}}}, created)
	require.NoError(b, err)
	client, err := kubernetes.NewForConfig(s.Account(b, s.Allowed, "maker"))
	require.NoError(b, err)
	grants.ResourceNames = []string{credentialstest.Checkout}
	n := 0
	for b.Loop() {
		_, err := client.RbacV1().Roles(s.Allowed).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("made-%d", n)}, Rules: []rbacv1.PolicyRule{grants}}, created)
		require.NoError(b, err)
		n++
		b.StopTimer() // as much happens between two actions as here: something else is written
		_, err = s.Admin.CoreV1().ConfigMaps(s.Allowed).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("made-%d", n)}}, created)
		require.NoError(b, err)
		b.StartTimer()
	}
}
