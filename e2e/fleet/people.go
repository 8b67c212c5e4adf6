package fleet

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/internal/world/cluster"
)

// As is a client of the hub's API server with a client certificate of that user.
func (f *Fleet) As(user string, groups ...string) (client.WithWatch, error) {
	path, err := f.Hub.KubeconfigFor(user, groups)
	if err != nil {
		return nil, err
	}
	return f.At(path)
}

// Agent is a client of the hub's API server with the account of the agent class, and the namespace in which that asks.
func (f *Fleet) Agent(ctx context.Context) (c client.WithWatch, namespace string, err error) {
	namespace = "writ-agent-" + AgentClass
	path, err := f.Hub.KubeconfigForServiceAccount(ctx, namespace, "agent", time.Hour)
	if err != nil {
		return nil, "", err
	}
	c, err = f.At(path)
	return c, namespace, err
}

// At is a client of the hub's API server with a kubeconfig.
func (f *Fleet) At(path string) (client.WithWatch, error) {
	config, err := cluster.LoadKubeconfig(path)
	if err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: f.Client.Scheme()})
}

// Approve writes an approver's word on the order that a request's status shows.
func Approve(ctx context.Context, approver client.Client, r *v1alpha1.ActionRequest, verdict v1alpha1.Verdict) error {
	return approver.Create(ctx, &v1alpha1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: r.Name + "-"},
		Spec:       v1alpha1.ApprovalSpec{Request: r.Name, OrderDigest: r.Status.OrderDigest, Verdict: verdict},
	})
}

// Until follows a request until it satisfies is, and returns it then. The error says where it stood.
func (f *Fleet) Until(ctx context.Context, key client.ObjectKey, is func(*v1alpha1.ActionRequest) bool) (*v1alpha1.ActionRequest, error) {
	r := &v1alpha1.ActionRequest{}
	for {
		err := f.Client.Get(ctx, key, r)
		if err == nil && is(r) {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("request %s: %w; it stood at %s: %s", key.Name, ctx.Err(), r.Status.Phase, r.Status.Message)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Phase is a condition for Until.
func Phase(phase v1alpha1.Phase) func(*v1alpha1.ActionRequest) bool {
	return func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase == phase }
}
