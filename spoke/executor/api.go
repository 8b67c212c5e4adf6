package executor

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

// maxRead bounds what is read of one list, in objects: a workload keeps ten revisions by default.
const maxRead = 500

// api is the workload cluster's API server, as one lease may use it, in one namespace.
type api struct {
	client    rest.Interface
	namespace string
}

func newAPI(config *rest.Config, namespace string) (*api, error) {
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	config.QPS = -1 // one action makes a handful of calls
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the lease: %w", err)
	}
	return &api{client: client, namespace: namespace}, nil
}

func (a *api) path(k catalogue.Kind, name, subresource string) []string {
	gv, _ := schema.ParseGroupVersion(k.APIVersion)
	path := []string{"apis", gv.Group, gv.Version, "namespaces", a.namespace, k.Resource}
	for _, part := range []string{name, subresource} {
		if part != "" {
			path = append(path, part)
		}
	}
	return path
}

func (a *api) get(ctx context.Context, r catalogue.Read) ([]byte, error) {
	request := a.client.Get().AbsPath(a.path(r.Kind, r.Name, r.Subresource)...).SetHeader("Accept", "application/json")
	if r.Name == "" {
		request.Param("limit", fmt.Sprint(maxRead))
	}
	return request.Do(ctx).Raw()
}

// patch applies a change, or only has it checked, and returns the object's generation afterwards (0 for a subresource).
func (a *api) patch(ctx context.Context, c catalogue.Change, manager string, dryRun bool) (int64, error) {
	request := a.client.Patch(types.PatchType(c.PatchType)).AbsPath(a.path(c.Kind, c.Name, c.Subresource)...).
		Param("fieldManager", manager).Param("fieldValidation", "Strict").SetHeader("Accept", "application/json").Body(c.Body)
	if dryRun {
		request.Param("dryRun", "All")
	}
	raw, err := request.Do(ctx).Raw()
	if err != nil {
		return 0, err
	}
	var object struct {
		Metadata struct {
			Generation int64 `json:"generation"`
		} `json:"metadata"`
	}
	return object.Metadata.Generation, json.Unmarshal(raw, &object)
}

// verdictOf tells a no of the API server from a fault. What can be different a moment later is a fault: conflict, overload,
// a lost connection, a token that the API server does not know yet.
func verdictOf(step string, reason refusal.Reason, err error) (*refusal.Refusal, error) {
	switch {
	case err == nil:
		return nil, nil
	case apierrors.IsNotFound(err):
		return refusal.New(step, refusal.TargetChanged, "it is gone: %v", err), nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return refusal.New(step, reason, "the API server said: %v", err), nil
	}
	return nil, err
}
