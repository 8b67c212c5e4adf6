package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// Person makes a kubeconfig of the hub for somebody of a group.
func (s *Stage) Person(user, group string) (string, error) {
	config, err := clientcmd.LoadFromFile(s.Clusters[Hub].Kubeconfig)
	if err != nil {
		return "", err
	}
	for _, info := range config.AuthInfos {
		info.Impersonate, info.ImpersonateGroups = user, []string{group, "system:authenticated"}
	}
	path := s.file(user + ".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o600)
}

// Scale asks, as a developer, for a number of replicas of a Deployment in the shop of a cluster.
func (s *Stage) Scale(ctx context.Context, cluster, name string, replicas int32) (*v1alpha1.ActionRequest, error) {
	return s.Ask(ctx, cluster, "scale", v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: Shop, Name: name},
		map[string]any{"replicas": replicas})
}

// Ask asks, as a developer, for an action.
func (s *Stage) Ask(ctx context.Context, cluster, action string, target v1alpha1.Target, parameters map[string]any) (*v1alpha1.ActionRequest, error) {
	raw, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	r := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: target.Name + "-"},
		Spec: v1alpha1.ActionRequestSpec{Cluster: cluster, Action: action, Parameters: &apiextensionsv1.JSON{Raw: raw}, Target: target}}
	return r, s.developer.Create(ctx, r)
}

// Until follows a request until it satisfies is. The error says where it stood.
func (s *Stage) Until(ctx context.Context, r *v1alpha1.ActionRequest, within time.Duration, is func(v1alpha1.Phase) bool) error {
	return Await(ctx, "request "+r.Name, within, func(ctx context.Context) error {
		err := s.Clusters[Hub].Client.Get(ctx, client.ObjectKeyFromObject(r), r)
		if err == nil && !is(r.Status.Phase) {
			err = fmt.Errorf("it stands at %q: %s", r.Status.Phase, r.Status.Message)
		}
		return err
	})
}

// Deploy makes a healthy Deployment of pods that do nothing in the shop of a cluster, and returns it with its image.
func (s *Stage) Deploy(ctx context.Context, cluster, name string, replicas int32) (*appsv1.Deployment, string, error) {
	c := s.Clusters[cluster]
	image, err := c.Pause(ctx)
	if err != nil {
		return nil, "", err
	}
	d := fleet.Deployment(name, replicas)
	d.Spec.Template.Spec.Containers[0].Image = image
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64)
	if err := c.Client.Create(ctx, d); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := fleet.Ready(ctx, c.Client, name, image); err != nil {
		return nil, "", err
	}
	return d, image, c.Client.Get(ctx, client.ObjectKeyFromObject(d), d)
}
