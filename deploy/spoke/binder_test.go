package spoke_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// scaling is an account as the binder makes one.
var scaling = tokenrequest.AccountName("0123456789abcdef", "scale", "deployments", credentialstest.Checkout)

func bindingOf(name, role, namespace string, subjects ...string) *rbacv1.RoleBinding {
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role}}
	for _, subject := range subjects {
		b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: subject, Namespace: namespace})
	}
	return b
}

// The account that makes the identities of actions can make nothing else, and touch nothing that others made: what RBAC must leave
// open for it, the fence closes.
func TestTheFenceAroundTheBinder(t *testing.T) {
	s := credentialstest.New(t, false)
	who := s.Account(t, spoke.SystemNamespace, tokenrequest.Binder)
	binder, err := kubernetes.NewForConfig(who)
	require.NoError(t, err)
	seconds, day := int64(600), int64(86400)
	bind := func(namespace string, b *rbacv1.RoleBinding) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := binder.RbacV1().RoleBindings(namespace).Create(ctx, b, metav1.CreateOptions{})
			return err
		}
	}
	account := func(namespace, name string, dryRun ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := binder.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{DryRun: dryRun})
			return err
		}
	}
	token := func(namespace, name string, life *int64) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := binder.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{
				Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: life}}, metav1.CreateOptions{})
			return err
		}
	}
	worldtest.Eventually(t, "the fence to be in force", func(ctx context.Context) error {
		if err := account(tokenrequest.Namespace, scaling, metav1.DryRunAll)(ctx); err != nil {
			return err // its rights are not
		}
		if account(tokenrequest.Namespace, "some", metav1.DryRunAll)(ctx) == nil {
			return errors.New("it is not")
		}
		return nil
	})
	const actions = tokenrequest.Namespace
	for _, name := range []string{scaling, "default"} {
		_, err := s.Admin.CoreV1().ServiceAccounts(actions).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() {
			_ = s.Admin.CoreV1().ServiceAccounts(actions).Delete(context.Background(), name, metav1.DeleteOptions{})
		})
	}
	_, err = s.Admin.RbacV1().Roles(s.Allowed).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "admin"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	role := tokenrequest.Role("scale")
	for name, tc := range map[string]struct {
		try  func(context.Context) error
		says string
	}{
		"an account with some name":         {account(actions, "writ-action-scale"), "'writ-binder'"},
		"an account in an allowed one":      {account(s.Allowed, scaling), "forbidden"},
		"an account beside its own":         {account(spoke.SystemNamespace, scaling), "forbidden"},
		"somebody's Role":                   {bind(s.Allowed, bindingOf(scaling, "admin", actions, scaling)), "Role of its action alone"},
		"its own Role":                      {bind(s.Allowed, bindingOf(scaling, tokenrequest.Binder, actions, scaling)), "Role of its action alone"},
		"another action's Role":             {bind(s.Allowed, bindingOf(scaling, tokenrequest.Role("rollback"), actions, scaling)), "Role of its action alone"},
		"a binding of somebody":             {bind(s.Allowed, bindingOf(scaling, role, s.Allowed, scaling)), "Role of its action alone"},
		"a binding of another action":       {bind(s.Allowed, bindingOf(scaling, role, actions, "1"+scaling[1:])), "Role of its action alone"},
		"a binding of two":                  {bind(s.Allowed, bindingOf(scaling, role, actions, scaling, "default")), "Role of its action alone"},
		"a binding of nobody":               {bind(s.Allowed, bindingOf(scaling, role, actions)), "Role of its action alone"},
		"a binding with some name":          {bind(s.Allowed, bindingOf("some", role, actions, "some")), "whose names say"},
		"a binding where it is not allowed": {bind(s.Other, bindingOf(scaling, role, actions, scaling)), "forbidden"},
		"a binding in kube-system":          {bind(metav1.NamespaceSystem, bindingOf(scaling, role, actions, scaling)), "forbidden"},
		"a binding of a group": {func(ctx context.Context) error {
			b := bindingOf(scaling, role, actions, scaling)
			b.Subjects[0] = rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: scaling}
			return bind(s.Allowed, b)(ctx)
		}, "Role of its action alone"},
		"the whole cluster": {func(ctx context.Context) error {
			b := bindingOf(scaling, role, actions, scaling)
			_, err := binder.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: b.ObjectMeta, RoleRef: b.RoleRef, Subjects: b.Subjects}, metav1.CreateOptions{})
			return err
		}, "forbidden"},
		"a Role": {func(ctx context.Context) error {
			_, err := binder.RbacV1().Roles(s.Allowed).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: scaling}}, metav1.CreateOptions{})
			return err
		}, "forbidden"},
		"the token of its namespace's own account": {token(actions, "default", &seconds), "whose names say"},
		"the spoke's token":                        {token(spoke.SystemNamespace, spoke.SpokeAccount, &seconds), "forbidden"},
		"its own token":                            {token(spoke.SystemNamespace, tokenrequest.Binder, &seconds), "forbidden"},
		"a token for a day":                        {token(actions, scaling, &day), "3600 s at most"},
		"the removal of somebody's binding": {func(ctx context.Context) error {
			return binder.RbacV1().RoleBindings(s.Allowed).Delete(ctx, tokenrequest.RehearsalAccount("scale"), metav1.DeleteOptions{})
		}, "whose names say"},
		"the removal of its own binding": {func(ctx context.Context) error {
			return binder.RbacV1().RoleBindings(s.Allowed).Delete(ctx, tokenrequest.Binder, metav1.DeleteOptions{})
		}, "whose names say"},
		"the removal of an account": {func(ctx context.Context) error {
			return binder.CoreV1().ServiceAccounts(actions).Delete(ctx, "default", metav1.DeleteOptions{})
		}, "whose names say"},
	} {
		t.Run(name, func(t *testing.T) {
			before := append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, actions)...)
			err := tc.try(t.Context())
			require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%v", err)
			require.ErrorContains(t, err, tc.says)
			require.Equal(t, before, append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, actions)...), "nothing was written")
		})
	}
	s.MayNothingElse(t, who)
}

// An action's identity reaches the one object that its name says, also where RBAC gives it everything.
func TestAnActionReachesItsTargetAlone(t *testing.T) {
	s := credentialstest.New(t, false)
	client := ordered(t, s, "scale", "deployments", credentialstest.Checkout)
	cron := ordered(t, s, "run-cronjob-now", "cronjobs", "nightly")
	nobody := mighty(t, s, tokenrequest.Namespace, "writ-action-scale")
	scale := func(client *kubernetes.Clientset, name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.AppsV1().Deployments(s.Allowed).Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), byOrder, "scale")
			return err
		}
	}
	job := func(client *kubernetes.Clientset, name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.BatchV1().Jobs(s.Allowed).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
				Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "a", Image: "a"}}}}}}, metav1.CreateOptions{FieldManager: "writ-order-1"})
			return err
		}
	}
	worldtest.Eventually(t, "its rights to be in force", func(ctx context.Context) error {
		return errors.Join(scale(client, credentialstest.Checkout)(ctx), job(cron, "nightly-writ-0123456789")(ctx))
	})
	for name, try := range map[string]func(context.Context) error{
		"another of the kind":        scale(client, credentialstest.Payment),
		"an identity without a name": scale(nobody, credentialstest.Checkout),
		"another kind of the name": func(ctx context.Context) error {
			_, err := client.AppsV1().StatefulSets(s.Allowed).Patch(ctx, credentialstest.Checkout, types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), byOrder, "scale")
			return err
		},
		"all of the kind": func(ctx context.Context) error {
			return client.AppsV1().Deployments(s.Allowed).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		},
		"a new one": func(ctx context.Context) error {
			live, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(ctx, credentialstest.Checkout, metav1.GetOptions{})
			require.NoError(t, err)
			live.ObjectMeta = metav1.ObjectMeta{Name: "new"}
			_, err = client.AppsV1().Deployments(s.Allowed).Create(ctx, live, metav1.CreateOptions{FieldManager: "writ-order-1"})
			return err
		},
		"a pod of the name": func(ctx context.Context) error {
			return client.CoreV1().Pods(s.Allowed).Delete(ctx, credentialstest.Checkout, metav1.DeleteOptions{})
		},
		"a Job of another":       job(cron, "weekly-writ-0123456789"),
		"a Job with some name":   job(cron, "nightly"),
		"a Job for a Deployment": job(client, credentialstest.Checkout+"-writ-0123456789"),
	} {
		t.Run(name, func(t *testing.T) {
			before := state(t, s)
			err := try(t.Context())
			require.True(t, apierrors.IsForbidden(err), "%v", err)
			require.ErrorContains(t, err, "the one object that is in its name")
			require.Equal(t, before, state(t, s), "nothing was written")
		})
	}
}
