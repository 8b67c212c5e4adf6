package reasoning_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/reasoning"
	"github.com/writ-dev/writ/hub/signals"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

const classNamespace = "writ-agent-sre"

var checkout = catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}

// hubCluster is a hub's API server with its CRDs, admission policies and the agent class sre.
func hubCluster(t *testing.T) (admin dynamic.Interface, class *rest.Config) {
	t.Helper()
	c := worldtest.Cluster(t, cluster.Options{Controllers: true})
	admin, err := dynamic.NewForConfig(c.RESTConfig())
	require.NoError(t, err)
	disco, err := discovery.NewDiscoveryClientForConfig(c.RESTConfig())
	require.NoError(t, err)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	for _, manifests := range [][]byte{hub.CRDs(), hub.Manifests(), hub.AgentClass("sre")} {
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
		for {
			object := &unstructured.Unstructured{}
			err := decoder.Decode(&object.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if object.Object != nil {
				create(t, admin, mapper, object)
			}
		}
	}
	var path string
	worldtest.Eventually(t, "the agent's token", func(ctx context.Context) (err error) {
		path, err = c.KubeconfigForServiceAccount(ctx, classNamespace, "agent", time.Hour)
		return err
	})
	class, err = cluster.LoadKubeconfig(path)
	require.NoError(t, err)
	return admin, class
}

func create(t *testing.T, admin dynamic.Interface, mapper *restmapper.DeferredDiscoveryRESTMapper, object *unstructured.Unstructured) {
	t.Helper()
	worldtest.Eventually(t, object.GetKind()+" "+object.GetName(), func(ctx context.Context) error {
		gvk := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			mapper.Reset()
			return err
		}
		var client dynamic.ResourceInterface = admin.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			client = admin.Resource(mapping.Resource).Namespace(object.GetNamespace())
		}
		if _, err = client.Create(ctx, object, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// requests lists what stands in the class's namespace.
func requests(t *testing.T, admin dynamic.Interface) []v1alpha1.ActionRequest {
	t.Helper()
	found, err := admin.Resource(v1alpha1.GroupVersion.WithResource("actionrequests")).Namespace(classNamespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var list v1alpha1.ActionRequestList
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(found.UnstructuredContent(), &list))
	return list.Items
}

func TestFromASignalToAnActionRequestThroughTheRealDoor(t *testing.T) {
	admin, class := hubCluster(t)
	log := slog.New(slog.DiscardHandler)
	s, err := badgerstore.Open(t.TempDir(), log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	clock := func() time.Time { return now }
	inbox := signals.New(s, signals.DefaultLimits, log, clock)
	door, err := reasoning.NewDoor(class, classNamespace)
	require.NoError(t, err)

	sent := broken("u1")
	require.NoError(t, inbox.Signal(t.Context(), "east", sent.Report()))
	for range 2 { // the second time as after a restart
		reasoner := reasoning.New("sre", []*reasoning.Playbook{parse(t, playbook)}, s, door, noop.NewTracerProvider().Tracer("test"), log, clock)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- reasoner.Run(ctx, inbox) }()
		worldtest.Eventually(t, "the request", func(context.Context) error {
			if found := requests(t, admin); len(found) != 1 {
				return fmt.Errorf("%d requests", len(found))
			}
			return nil
		})
		cancel()
		require.NoError(t, <-ended)
	}
	request := requests(t, admin)[0]
	require.Equal(t, request.Name, request.Spec.DecisionID)
	require.Equal(t, "rollback", request.Spec.Action)
	require.Equal(t, "east", request.Spec.Cluster)
	require.Equal(t, v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}, request.Spec.Target)
	require.Equal(t, sent.Traceparent, request.Spec.Traceparent)
	require.Contains(t, request.Spec.Reason, "go back to the last one that did")

	t.Run("the same again is no error and changes nothing", func(t *testing.T) {
		require.NoError(t, door.Propose(t.Context(), reasoning.Proposal{Name: request.Name, Cluster: "west", Action: "scale",
			Target: checkout}))
		require.Equal(t, request, requests(t, admin)[0])
	})
	t.Run("parameters arrive as they were written", func(t *testing.T) {
		require.NoError(t, door.Propose(t.Context(), reasoning.Proposal{Name: "with-parameters", Cluster: "east", Action: "scale",
			Parameters: json.RawMessage(`{"replicas":3}`), Target: checkout}))
	})
	t.Run("what is invalid or not its right is rejected", func(t *testing.T) {
		before := len(requests(t, admin))
		require.ErrorIs(t, door.Propose(t.Context(), reasoning.Proposal{Name: "no-target", Cluster: "east", Action: "rollback"}), reasoning.ErrRejected)
		elsewhere, err := reasoning.NewDoor(class, "default")
		require.NoError(t, err)
		require.ErrorIs(t, elsewhere.Propose(t.Context(), reasoning.Proposal{Name: "x", Cluster: "east", Action: "rollback",
			Target: checkout}), reasoning.ErrRejected)
		require.Len(t, requests(t, admin), before)
	})
	t.Run("the class has no other right", func(t *testing.T) {
		agent, err := dynamic.NewForConfig(class)
		require.NoError(t, err)
		for _, resource := range []schema.GroupVersionResource{
			v1alpha1.GroupVersion.WithResource("actionrequests"), v1alpha1.GroupVersion.WithResource("approvals"),
			v1alpha1.GroupVersion.WithResource("actionpolicies"), v1alpha1.GroupVersion.WithResource("clusters"),
			{Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "pods"},
		} {
			_, err := agent.Resource(resource).Namespace(classNamespace).List(t.Context(), metav1.ListOptions{})
			require.True(t, apierrors.IsForbidden(err), "%s: %v", resource.Resource, err)
			_, err = agent.Resource(resource).Namespace(classNamespace).Patch(t.Context(), request.Name, "application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
			require.True(t, apierrors.IsForbidden(err), "%s: %v", resource.Resource, err)
		}
	})
	t.Run("who asked is written at admission", func(t *testing.T) {
		require.Equal(t, "system:serviceaccount:"+classNamespace+":agent", request.Spec.Requester)
		require.Equal(t, "sre", request.Spec.AgentClass)
	})
}
