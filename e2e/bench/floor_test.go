package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// floor measures what the API servers alone allow: the hub and the spokes are gone, and one program makes the fewest calls that an
// action can be made of. On the hub's API server the request and one status, as long as that of a real one; in the workload cluster an
// account of the action and its binding, a token, the patch with it, and both deleted. Nothing is read, judged, tried, watched,
// signed or logged.
func (t throughput) floor(b *testing.B, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	var like v1alpha1.ActionRequest
	require.NoError(b, t.hub.Get(ctx, client.ObjectKey{Namespace: "default", Name: "action-0"}, &like))
	for _, name := range t.names {
		t.fleet.KillSpoke(name)
	}
	t.fleet.KillHub()
	clusters := make([]*floored, len(t.names))
	for i, name := range t.names {
		clusters[i] = newFloored(ctx, b, t.fleet.Clusters[name].RESTConfig())
	}
	name := func(i int) string { return fmt.Sprintf("floor-%d", i) }
	each(ctx, b, t.atOnce, n, func(ctx context.Context, i int) error {
		return settled(ctx, t.workloads[i%len(t.names)], name(i), 4, 5)
	})

	before, began := used(b), time.Now()
	each(ctx, b, t.atOnce, n, func(ctx context.Context, i int) error {
		request := scale(t.names[i%len(t.names)], name(i), 5)
		if err := t.hub.Create(ctx, request); err != nil {
			return err
		}
		if err := clusters[i%len(t.names)].scale(ctx, name(i)); err != nil {
			return err
		}
		as := request.DeepCopy()
		request.Status = like.Status
		return t.hub.Status().Patch(ctx, request, client.MergeFrom(as))
	})
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "floor-actions/s")
	before.reportSince(b, "floor-", n)
}

// floored is a workload cluster without a spoke.
type floored struct {
	config *rest.Config
	admin  kubernetes.Interface
}

func newFloored(ctx context.Context, b *testing.B, config *rest.Config) *floored {
	b.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	admin, err := kubernetes.NewForConfig(config)
	require.NoError(b, err)
	_, err = admin.RbacV1().Roles(fleet.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "floor"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments/scale"}, Verbs: []string{"patch"}}}}, metav1.CreateOptions{})
	require.NoError(b, err)
	return &floored{config, admin}
}

// scale patches a Deployment as an account of its own.
func (f *floored) scale(ctx context.Context, name string) error {
	accounts, bindings := f.admin.CoreV1().ServiceAccounts(fleet.Namespace), f.admin.RbacV1().RoleBindings(fleet.Namespace)
	meta := metav1.ObjectMeta{Name: name}
	both, bothCtx := errgroup.WithContext(ctx)
	both.Go(func() error {
		_, err := bindings.Create(bothCtx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "floor"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: fleet.Namespace, Name: name}}}, metav1.CreateOptions{})
		return err
	})
	var token *authenticationv1.TokenRequest
	both.Go(func() (err error) {
		if _, err = accounts.Create(bothCtx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err == nil {
			token, err = accounts.CreateToken(bothCtx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		}
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	config := rest.AnonymousClientConfig(f.config)
	config.BearerToken, config.QPS = token.Status.Token, -1
	as, err := appsclient.NewForConfig(config)
	if err != nil {
		return err
	}
	patch := func(ctx context.Context) (bool, error) { // until the API server has read the binding
		_, err := as.Deployments(fleet.Namespace).Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{}, "scale")
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return err == nil, err
	}
	if err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, patch); err != nil {
		return err
	}
	both, bothCtx = errgroup.WithContext(ctx)
	both.Go(func() error { return accounts.Delete(bothCtx, name, metav1.DeleteOptions{}) })
	both.Go(func() error { return bindings.Delete(bothCtx, name, metav1.DeleteOptions{}) })
	return both.Wait()
}
