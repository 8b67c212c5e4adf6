// Package census counts what a cluster is as a whole: its version, its nodes and what they offer to pods.
//
// It promises to read with the spoke's own identity, a bounded page at a time, and to hold up nobody: what it cannot see is left
// out. People are shown what it says; nothing is judged by it.
package census

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

const (
	page   = 200
	within = 5 * time.Second
	// maxVersion bounds, in bytes, what the API server says of its version.
	maxVersion = 16 << 10
)

var nodes = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}

// Taker takes the census of one cluster. It is safe for concurrent use.
type Taker struct {
	server *url.URL
	http   *http.Client
	client dynamic.Interface
}

// New makes a taker with the spoke's own identity.
func New(config *rest.Config) (*Taker, error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	plain, err := rest.HTTPClientFor(config) // the discovery client would bring along all of OpenAPI
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	return &Taker{server, plain, client}, nil
}

// Take counts; nil where it can see nothing within 5 seconds.
func (t *Taker) Take(ctx context.Context) *writv1.ClusterFacts {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	facts := &writv1.ClusterFacts{}
	said, versionErr := t.version(ctx)
	facts.KubernetesVersion = said
	countErr := t.count(ctx, facts)
	if versionErr != nil && countErr != nil {
		return nil
	}
	if countErr != nil {
		return &writv1.ClusterFacts{KubernetesVersion: facts.GetKubernetesVersion()}
	}
	return facts
}

// version is what the API server calls itself.
func (t *Taker) version(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.server.JoinPath("version").String(), nil)
	if err != nil {
		return "", err
	}
	response, err := t.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var said version.Info
	if err := json.NewDecoder(io.LimitReader(response.Body, maxVersion)).Decode(&said); err != nil {
		return "", err
	}
	return said.GitVersion, nil
}

func (t *Taker) count(ctx context.Context, facts *writv1.ClusterFacts) error {
	options := metav1.ListOptions{Limit: page}
	for {
		found, err := t.client.Resource(nodes).List(ctx, options)
		if err != nil {
			return err
		}
		for _, node := range found.Items {
			facts.Nodes++
			facts.CpuMillis += offers(node, "cpu", (*resource.Quantity).MilliValue)
			facts.MemoryBytes += offers(node, "memory", (*resource.Quantity).Value)
			facts.Pods += offers(node, "pods", (*resource.Quantity).Value)
		}
		if options.Continue = found.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// offers is what a node has for pods of one resource; 0 where it does not say.
func offers(node unstructured.Unstructured, name string, value func(*resource.Quantity) int64) uint64 {
	said, _, _ := unstructured.NestedString(node.Object, "status", "allocatable", name)
	quantity, err := resource.ParseQuantity(said)
	if err != nil {
		return 0
	}
	return uint64(max(value(&quantity), 0))
}
