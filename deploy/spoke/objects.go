package spoke

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const rbacVersion = "rbac.authorization.k8s.io/v1"

func kind(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// account is one whose token no pod gets by itself.
func account(namespace, name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: kind("v1", "ServiceAccount"), ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		AutomountServiceAccountToken: new(bool)}
}

// mounted is an account whose pods get its token.
func mounted(a *corev1.ServiceAccount) *corev1.ServiceAccount {
	*a.AutomountServiceAccountToken = true
	return a
}

// subject is a ServiceAccount of Writ's own namespace.
func subject(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: "ServiceAccount", Namespace: SystemNamespace, Name: name}
}

// namespaced is a Role and its binding, both called name.
func namespaced(namespace, name string, to rbacv1.Subject, rules []rbacv1.PolicyRule) []runtime.Object {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	return []runtime.Object{
		&rbacv1.Role{TypeMeta: kind(rbacVersion, "Role"), ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{TypeMeta: kind(rbacVersion, "RoleBinding"), ObjectMeta: meta,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}, Subjects: []rbacv1.Subject{to}},
	}
}

// everywhere is a ClusterRole and its binding, both called name.
func everywhere(name string, to rbacv1.Subject, rules []rbacv1.PolicyRule) []runtime.Object {
	meta := metav1.ObjectMeta{Name: name}
	return []runtime.Object{
		&rbacv1.ClusterRole{TypeMeta: kind(rbacVersion, "ClusterRole"), ObjectMeta: meta, Rules: rules},
		&rbacv1.ClusterRoleBinding{TypeMeta: kind(rbacVersion, "ClusterRoleBinding"), ObjectMeta: meta,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}, Subjects: []rbacv1.Subject{to}},
	}
}
