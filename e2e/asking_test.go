package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// workloads are the Deployments of the tests in cluster east.
type workloads struct {
	t    *testing.T
	f    *fleet.Fleet
	east client.Client
}

func newWorkloads(t *testing.T, f *fleet.Fleet) *workloads {
	t.Helper()
	east, err := f.Workloads("east")
	require.NoError(t, err)
	return &workloads{t, f, east}
}

// create makes a Deployment of three that is healthy.
func (w *workloads) create(ctx context.Context, name string) *appsv1.Deployment {
	w.t.Helper()
	d := fleet.Deployment(name, 3)
	require.NoError(w.t, w.east.Create(ctx, d))
	require.NoError(w.t, fleet.Ready(ctx, w.east, name, fleet.GoodImage))
	return d
}

// untouched checks that nobody changed what a Deployment should be.
func (w *workloads) untouched(ctx context.Context, before *appsv1.Deployment) {
	w.t.Helper()
	var now appsv1.Deployment
	require.NoError(w.t, w.east.Get(ctx, client.ObjectKeyFromObject(before), &now))
	require.Equal(w.t, before.Generation, now.Generation)
	require.Equal(w.t, before.Spec.Replicas, now.Spec.Replicas)
}

// scale asks for a number of replicas.
func (w *workloads) scale(ctx context.Context, name string, replicas int) *v1alpha1.ActionRequest {
	w.t.Helper()
	r := requestFor("scale", name, fmt.Sprintf(`{"replicas":%d}`, replicas))
	require.NoError(w.t, w.f.Client.Create(ctx, r))
	return r
}

func requestFor(action, name, parameters string) *v1alpha1.ActionRequest {
	return &v1alpha1.ActionRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: name + "-"},
		Spec: v1alpha1.ActionRequestSpec{Cluster: "east", Action: action, Parameters: &apiextensionsv1.JSON{Raw: []byte(parameters)},
			Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: name}},
	}
}

// ended waits for a phase in which a request stays.
func (w *workloads) ended(ctx context.Context, r *v1alpha1.ActionRequest) *v1alpha1.ActionRequest {
	w.t.Helper()
	done, err := w.f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	require.NoError(w.t, err)
	return done
}

// refused checks that a request was refused for a reason: it says so in one line, the audit log names it, and the Deployment
// is as it was.
func (w *workloads) refused(ctx context.Context, r *v1alpha1.ActionRequest, reason refusal.Reason, before *appsv1.Deployment) *v1alpha1.ActionRequest {
	w.t.Helper()
	done := w.ended(ctx, r)
	require.Equal(w.t, v1alpha1.PhaseRefused, done.Status.Phase, done.Status.Message)
	require.Equal(w.t, string(reason), done.Status.Reason, done.Status.Message)
	require.NotEmpty(w.t, done.Status.Message)
	require.NotContains(w.t, done.Status.Message, "\n")
	w.untouched(ctx, before)
	told(ctx, w.t, w.f, done, string(reason))
	return done
}

// succeeded checks that a request was carried out, once.
func (w *workloads) succeeded(ctx context.Context, r *v1alpha1.ActionRequest, before *appsv1.Deployment) {
	w.t.Helper()
	kill{}.settle(ctx, w.t, w.f, r, before)
}

// told checks that the audit log tells of a request.
func told(ctx context.Context, t *testing.T, f *fleet.Fleet, r *v1alpha1.ActionRequest, what string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		out, err := f.Writ(ctx, "audit", "show", r.Name)
		require.NoError(c, err)
		require.Contains(c, out, what)
	}, 10*time.Second, 100*time.Millisecond)
}
