package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// deletion is the command of docs/install.md that deletes the kinds of writ.dev.
var deletion = regexp.MustCompile(`kubectl delete crd \{([a-z,]+)\}\.writ\.dev`)

// custom are the kinds of writ.dev that the page says to delete: a kind that it forgets is found to be left.
func custom() ([]string, error) {
	raw, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		return nil, err
	}
	found := deletion.FindSubmatch(raw)
	if found == nil {
		return nil, errors.New("docs/install.md does not say how to delete the kinds")
	}
	names := strings.Split(string(found[1]), ",")
	for i := range names {
		names[i] += ".writ.dev"
	}
	return names, nil
}

// Uninstall takes Writ out of a cluster with Helm, as its documentation says. What only people may decide to lose stays.
func (s *Stage) Uninstall(ctx context.Context, name string) error {
	release := releaseSpoke
	if name == Hub {
		release = releaseHub
	}
	_, err := s.Helm(ctx, s.Clusters[name], "uninstall", release, "--ignore-not-found", "--wait", "--timeout", "90s")
	return err
}

// Purge deletes what Uninstall left: volumes, kinds, namespaces; and the tests' own.
func (s *Stage) Purge(ctx context.Context, name string) error {
	c := s.Clusters[name]
	namespaces := []string{Namespace, Shop, "vault"}
	for _, n := range namespaces {
		err := c.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	objects, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	kinds := objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	names, err := custom()
	if err != nil {
		return err
	}
	for _, kind := range names {
		if err := kinds.Delete(ctx, kind, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	roles := objects.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"})
	for _, binding := range []string{"writ-approvers", "writ-requesters"} { // of people.yaml
		if err := roles.Delete(ctx, binding, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return Await(ctx, "the namespaces of "+name+" to go", 2*time.Minute, func(ctx context.Context) error {
		for _, n := range namespaces {
			var namespace corev1.Namespace
			if err := c.Client.Get(ctx, client.ObjectKey{Name: n}, &namespace); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there: %w", n, err)
			}
		}
		return nil
	})
}

// passing are kinds that come and go by themselves.
var passing = []string{"events", "leases", "pods", "endpoints", "endpointslices", "controllerrevisions", "replicasets", "nodes", "csinodes", "apiservices",
	"podmetrics", "nodemetrics", "persistentvolumes", "ipaddresses", "flowschemas", "prioritylevelconfigurations"}

// Everything lists what people or charts made in a cluster, by resource, namespace and name: before and after, it shows what was
// left. Volumes are left out: they belong to the storage.
func (c *Cluster) Everything(ctx context.Context) ([]string, error) {
	discover, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	lists, err := discover.ServerPreferredResourcesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || !slices.Contains(resource.Verbs, "delete") || slices.Contains(passing, resource.Name) {
				continue
			}
			found, err := objects.Resource(group.WithResource(resource.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) { // its kind has just gone
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", resource.Name, err)
			}
			for _, o := range found.Items {
				if !strings.HasPrefix(o.Namespace, "kube-") {
					all = append(all, fmt.Sprintf("%s %s/%s", resource.Name, o.Namespace, o.Name))
				}
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
