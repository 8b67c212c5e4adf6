// Package target reads what a spoke must know of the one object that an action is about: its facts, whether a change has
// reached it, and whether a prediction came true.
//
// It reads with the spoke's own identity, which can change nothing, and it writes nothing. It caches nothing either: every
// answer is what the API server says now.
package target

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/catalogue"
)

// ErrNotFound is what is returned for an object that does not exist, is another one by the same name, or is of a kind that
// the catalogue does not act on.
var ErrNotFound = errors.New("the target does not exist")

// page bounds one answer to a list.
const page = 200

// Reader reads one cluster.
type Reader struct {
	client dynamic.Interface
}

// New makes a reader. config is the spoke's own identity; it is not kept, and its client-side rate limit is lifted: the API
// server has its own.
func New(config *rest.Config) (*Reader, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	return &Reader{client: client}, nil
}

// ClusterUID returns what tells this cluster from every other one: the UID of the namespace kube-system.
func (r *Reader) ClusterUID(ctx context.Context) (string, error) {
	namespace, err := r.client.Resource(namespaces).Get(ctx, "kube-system", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("namespace kube-system: %w", err)
	}
	return string(namespace.GetUID()), nil
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// resourceOf is how the API server knows a kind of the catalogue.
func resourceOf(k catalogue.Kind) schema.GroupVersionResource {
	group, _ := schema.ParseGroupVersion(k.APIVersion)
	return group.WithResource(k.Resource)
}

// interfaceOf returns the client of the target's kind, which is one of kinds, in its namespace. It refuses what can't exist before any path is made
// of it.
func (r *Reader) interfaceOf(kinds []catalogue.Kind, t catalogue.Target) (catalogue.Kind, dynamic.ResourceInterface, error) {
	kind, ok := catalogue.Find(kinds, t)
	if !ok {
		return kind, nil, fmt.Errorf("%w: %s of %s is not a kind that can be acted on", ErrNotFound, t.Kind, t.APIVersion)
	}
	if !nameable(t.Name) || kind.ClusterScoped && t.Namespace != "" || !kind.ClusterScoped && !nameable(t.Namespace) {
		return kind, nil, fmt.Errorf("%w: no object can have that name", ErrNotFound)
	}
	if kind.ClusterScoped {
		return kind, r.client.Resource(resourceOf(kind)), nil
	}
	return kind, r.client.Resource(resourceOf(kind)).Namespace(t.Namespace), nil
}

// get reads the target itself. Where the target names a UID, another object by the same name is not found.
func (r *Reader) get(ctx context.Context, kinds []catalogue.Kind, t catalogue.Target) (*workload, error) {
	kind, client, err := r.interfaceOf(kinds, t)
	if err != nil {
		return nil, err
	}
	object, err := client.Get(ctx, t.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	w, err := workloadOf(kind, object.Object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	if t.UID != "" && string(w.UID) != t.UID {
		return nil, fmt.Errorf("%w: %s was deleted and made again", ErrNotFound, t)
	}
	return w, nil
}

// list decodes every object of a resource in a namespace, page by page, into T.
func list[T any](ctx context.Context, r *Reader, of schema.GroupVersionResource, namespace, selector string) ([]T, error) {
	var all []T
	options := metav1.ListOptions{LabelSelector: selector, Limit: page}
	for {
		found, err := r.client.Resource(of).Namespace(namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", of.Resource, err)
		}
		for i := range found.Items {
			var one T
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Items[i].Object, &one); err != nil {
				return nil, fmt.Errorf("%s %s: %w", of.Resource, found.Items[i].GetName(), err)
			}
			all = append(all, one)
		}
		if options.Continue = found.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}
