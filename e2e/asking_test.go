package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
