package spoke_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
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

// mighty is an identity of an action to which somebody has given the whole cluster.
func mighty(t *testing.T, s *credentialstest.Scene, namespace, name string) *kubernetes.Clientset {
	t.Helper()
	ctx, created := t.Context(), metav1.CreateOptions{}
	account, err := s.Admin.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, created)
	require.NoError(t, err)
	_, err = s.Admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: account.Namespace, Name: account.Name}}}, created)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = s.Admin.RbacV1().ClusterRoleBindings().Delete(context.Background(), account.Name, metav1.DeleteOptions{})
		_ = s.Admin.CoreV1().ServiceAccounts(namespace).Delete(context.Background(), account.Name, metav1.DeleteOptions{})
	})
	client, err := kubernetes.NewForConfig(s.Account(t, account.Namespace, account.Name))
	require.NoError(t, err)
	return client
}

// ordered is a mighty identity of an action on one object.
func ordered(t *testing.T, s *credentialstest.Scene, action, resource, name string) *kubernetes.Clientset {
	t.Helper()
	return mighty(t, s, tokenrequest.Namespace, tokenrequest.AccountName("0123456789abcdef", action, resource, name))
}

var byOrder = metav1.PatchOptions{FieldManager: "writ-order-1"}

// What no action may ever be, admission stops alone: here RBAC gives everything, and nobody else judges.
func TestTheFenceAroundActions(t *testing.T) {
	s := credentialstest.New(t, true)
	furnish(t, s)
	vaults := mighty(t, s, s.Allowed, "v-mighty")
	for who, as := range map[string]func(resource, name string) *kubernetes.Clientset{
		"tokenrequest": func(resource, name string) *kubernetes.Clientset { return ordered(t, s, "scale", resource, name) },
		"Vault":        func(string, string) *kubernetes.Clientset { return vaults },
	} {
		t.Run(who, func(t *testing.T) { fenced(t, s, as) })
	}
	_, err := s.Admin.AppsV1().Deployments(s.Allowed).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType, []byte(`{"spec":{"replicas":200}}`), metav1.PatchOptions{})
	require.NoError(t, err, "others are not fenced in")
}

func fenced(t *testing.T, s *credentialstest.Scene, as func(resource, name string) *kubernetes.Clientset) {
	client := as("deployments", credentialstest.Payment)
	scaler, pods := as("horizontalpodautoscalers", "thing"), as("pods", credentialstest.Payment)
	patch := func(options metav1.PatchOptions, body, name string, sub ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.AppsV1().Deployments(s.Allowed).Patch(ctx, name, types.StrategicMergePatchType, []byte(body), options, sub...)
			return err
		}
	}
	pod := func(field string) func(context.Context) error {
		return patch(byOrder, `{"spec":{"template":{"spec":{`+field+`}}}}`, credentialstest.Payment)
	}
	worldtest.Eventually(t, "the fence to be in force", func(ctx context.Context) error {
		if err := patch(byOrder, `{"metadata":{"labels":{"a":"b"}}}`, credentialstest.Payment)(ctx); err != nil {
			return err // its rights are not
		}
		if patch(metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, `{"spec":{"replicas":4}}`, credentialstest.Payment)(ctx) == nil {
			return errors.New("it is not")
		}
		bounded := metav1.PatchOptions{FieldManager: "writ-order-1", DryRun: []string{metav1.DryRunAll}}
		if patch(bounded, `{"spec":{"replicas":101}}`, credentialstest.Payment)(ctx) == nil {
			return errors.New("its bounds are not")
		}
		return nil
	})
	made, order := metav1.CreateOptions{FieldManager: "writ-order-1"}, metav1.ObjectMeta{GenerateName: "made-"}
	for name, tc := range map[string]struct {
		try  func(ctx context.Context) error
		says string
	}{
		"a role": {func(ctx context.Context) error {
			_, err := client.RbacV1().Roles(s.Allowed).Create(ctx, &rbacv1.Role{ObjectMeta: order}, made)
			return err
		}, "who may do what"},
		"a binding": {func(ctx context.Context) error {
			_, err := client.RbacV1().RoleBindings(s.Allowed).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: order, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "thing"}}, made)
			return err
		}, "who may do what"},
		"a Secret": {func(ctx context.Context) error {
			_, err := client.CoreV1().Secrets(s.Allowed).Create(ctx, &corev1.Secret{ObjectMeta: order}, made)
			return err
		}, "Secrets"},
		"a Secret's deletion": {func(ctx context.Context) error {
			return client.CoreV1().Secrets(s.Allowed).Delete(ctx, credentialstest.Checkout, metav1.DeleteOptions{})
		}, "Secrets"},
		"an account": {func(ctx context.Context) error {
			_, err := client.CoreV1().ServiceAccounts(s.Allowed).Create(ctx, &corev1.ServiceAccount{ObjectMeta: order}, made)
			return err
		}, "accounts"},
		"a token": {func(ctx context.Context) error {
			_, err := client.CoreV1().ServiceAccounts(s.Allowed).CreateToken(ctx, credentialstest.Checkout, &authenticationv1.TokenRequest{}, made)
			return err
		}, "tokens"},
		"a namespace": {func(ctx context.Context) error {
			_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: order}, made)
			return err
		}, "namespaces"},
		"a command": {func(ctx context.Context) error {
			return client.CoreV1().RESTClient().Post().Namespace(s.Allowed).Resource("pods").Name(credentialstest.Checkout).SubResource("exec").Param("command", "sh").Param("stdout", "true").Do(ctx).Error()
		}, "runs a command"},
		"a connection": {func(ctx context.Context) error {
			return client.CoreV1().RESTClient().Get().Namespace(s.Allowed).Resource("services").Name("thing").SubResource("proxy").Do(ctx).Error()
		}, "runs a command"},
		"a pod": {func(ctx context.Context) error {
			_, err := client.CoreV1().Pods(s.Allowed).Create(ctx, &corev1.Pod{ObjectMeta: order, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}, made)
			return err
		}, "a pod of its own"},
		"a change in Writ's own namespace": {func(ctx context.Context) error {
			_, err := client.CoreV1().ConfigMaps(spoke.SystemNamespace).Patch(ctx, spoke.LimitsConfigMap, types.MergePatchType, []byte(`{"data":{"maxReplicas":"1000"}}`), byOrder)
			return err
		}, "Writ's own namespaces"},
		"a change without an order":  {patch(metav1.PatchOptions{}, `{"spec":{"replicas":4}}`, credentialstest.Payment), "name its order"},
		"a change in another's name": {patch(metav1.PatchOptions{FieldManager: "kubectl"}, `{"spec":{"replicas":4}}`, credentialstest.Payment), "name its order"},
		"the node's network":         {pod(`"hostNetwork":true`), "of its node"},
		"the node's processes":       {pod(`"hostPID":true`), "of its node"},
		"the node's files":           {pod(`"volumes":[{"name":"root","hostPath":{"path":"/"}}]`), "of its node"},
		"privileged":                 {pod(`"containers":[{"name":"main","securityContext":{"privileged":true}}]`), "privileged"},
		"privileged, at first":       {pod(`"initContainers":[{"name":"a","image":"a","securityContext":{"privileged":true}}]`), "privileged"},
		"capabilities":               {pod(`"containers":[{"name":"main","securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}]`), "capabilities"},
		"another account":            {pod(`"serviceAccountName":"admin"`), "another account"},
		"beyond the limit":           {patch(byOrder, `{"spec":{"replicas":101}}`, credentialstest.Payment), "allows actions 100 replicas at most, 101 are asked for"},
		"beyond the limit, by scale": {patch(byOrder, `{"spec":{"replicas":101}}`, credentialstest.Payment, "scale"), "allows actions 100 replicas at most, 101 are asked for"},
		"beyond it by a whole object": {func(ctx context.Context) error {
			_, err := client.AppsV1().Deployments(s.Allowed).UpdateScale(ctx, credentialstest.Payment, &autoscalingv1.Scale{
				ObjectMeta: metav1.ObjectMeta{Name: credentialstest.Payment, Namespace: s.Allowed}, Spec: autoscalingv1.ScaleSpec{Replicas: 101}}, metav1.UpdateOptions{FieldManager: "writ-order-1"})
			return err
		}, "100 replicas at most"},
		"an autoscaler beyond it": {func(ctx context.Context) error {
			_, err := scaler.AutoscalingV2().HorizontalPodAutoscalers(s.Allowed).Patch(ctx, "thing", types.MergePatchType, []byte(`{"spec":{"maxReplicas":101}}`), byOrder)
			return err
		}, "100 replicas at most"},
	} {
		t.Run(name, func(t *testing.T) {
			before := state(t, s)
			err := tc.try(t.Context())
			require.True(t, apierrors.IsForbidden(err), "%v", err)
			require.ErrorContains(t, err, "ValidatingAdmissionPolicy 'writ-")
			require.ErrorContains(t, err, tc.says)
			require.Equal(t, before, state(t, s), "nothing was written")
		})
	}
	for name, try := range map[string]func(context.Context) error{
		"a scale":       patch(byOrder, `{"spec":{"replicas":100}}`, credentialstest.Payment, "scale"),
		"and back":      patch(byOrder, `{"spec":{"replicas":2}}`, credentialstest.Payment),
		"another image": pod(`"containers":[{"name":"main","image":"registry.test/shop:2"}]`),
		"an autoscaler": func(ctx context.Context) error {
			_, err := scaler.AutoscalingV2().HorizontalPodAutoscalers(s.Allowed).Patch(ctx, "thing", types.MergePatchType, []byte(`{"spec":{"maxReplicas":100}}`), byOrder)
			return err
		},
		"a pod's deletion": func(ctx context.Context) error {
			return pods.CoreV1().Pods(s.Allowed).Delete(ctx, credentialstest.Payment, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		},
	} {
		require.NoError(t, try(t.Context()), name)
	}
}

// state is what an action might have changed.
func state(t *testing.T, s *credentialstest.Scene) []string {
	t.Helper()
	live, err := s.Admin.AppsV1().Deployments(s.Allowed).Get(t.Context(), credentialstest.Payment, metav1.GetOptions{})
	require.NoError(t, err)
	pods, err := s.Admin.CoreV1().Pods(s.Allowed).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	secrets, err := s.Admin.CoreV1().Secrets(s.Allowed).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	seen := append(s.Identities(t.Context(), t, s.Allowed), live.ResourceVersion)
	for _, pod := range pods.Items {
		seen = append(seen, "pod/"+pod.Name)
	}
	for _, secret := range secrets.Items {
		seen = append(seen, "secret/"+secret.Name)
	}
	return seen
}

// A workload that is of its node already can be acted on all the same: nothing is given to it.
func TestWhatIsPowerfulAlreadyCanBeRestarted(t *testing.T) {
	s := credentialstest.New(t, false)
	client := ordered(t, s, "rollout-restart", "daemonsets", "agent")
	labels, yes := map[string]string{"app": "agent"}, true
	_, err := s.Admin.AppsV1().DaemonSets(s.Allowed).Create(t.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			HostNetwork: true, ServiceAccountName: "agent", Volumes: []corev1.Volume{{Name: "logs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log"}}}},
			Containers: []corev1.Container{{Name: "main", Image: "a", SecurityContext: &corev1.SecurityContext{Privileged: &yes}}}}}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	worldtest.Eventually(t, "a restart", func(ctx context.Context) error {
		_, err := client.AppsV1().DaemonSets(s.Allowed).Patch(ctx, "agent", types.MergePatchType,
			[]byte(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`), byOrder)
		return err
	})
}

// Without its bounds the cluster goes on working for everybody, and what is not a number bounds everything.
func TestLimitsThatAreNotThere(t *testing.T) {
	s := credentialstest.New(t, false)
	client := ordered(t, s, "scale", "deployments", credentialstest.Payment)
	scale := func(ctx context.Context, client *kubernetes.Clientset, replicas string) error {
		_, err := client.AppsV1().Deployments(s.Allowed).Patch(ctx, credentialstest.Payment, types.MergePatchType, []byte(`{"spec":{"replicas":`+replicas+`}}`), byOrder, "scale")
		return err
	}
	set := func(data string) {
		_, err := s.Admin.CoreV1().ConfigMaps(spoke.SystemNamespace).Patch(t.Context(), spoke.LimitsConfigMap, types.MergePatchType, []byte(data), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: spoke.LimitsConfigMap}, Data: map[string]string{"maxReplicas": "100"}}
		_ = s.Admin.CoreV1().ConfigMaps(spoke.SystemNamespace).Delete(context.Background(), spoke.LimitsConfigMap, metav1.DeleteOptions{})
		_, _ = s.Admin.CoreV1().ConfigMaps(spoke.SystemNamespace).Create(context.Background(), config, metav1.CreateOptions{})
	})
	held := func(what, says string) {
		worldtest.Eventually(t, what, func(ctx context.Context) error {
			err := scale(ctx, client, "90")
			if err == nil {
				_ = scale(ctx, s.Admin, "3")
				return errors.New("it was scaled")
			}
			if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
				return err
			}
			require.NoError(t, scale(ctx, s.Admin, "3"), "others go on")
			require.ErrorContains(t, err, "writ-limits")
			if !strings.Contains(err.Error(), says) {
				return err // the bounds before are still in force
			}
			return nil
		})
	}
	set(`{"data":{"maxReplicas":"many"}}`)
	held("what is no number", "type conversion error")
	set(`{"data":{"maxReplicas":"100","maxStep":"10"}}`)
	held("a step", "10 replicas more at once")
	require.NoError(t, s.Admin.CoreV1().ConfigMaps(spoke.SystemNamespace).Delete(t.Context(), spoke.LimitsConfigMap, metav1.DeleteOptions{}))
	worldtest.Eventually(t, "no limits", func(ctx context.Context) error {
		require.NoError(t, scale(ctx, s.Admin, "3"), "others go on")
		return scale(ctx, client, "90")
	})
}
