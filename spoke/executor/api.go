package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// path is where an object of a kind is. Where neither it nor the target has a namespace, it is a list of all namespaces.
func (a *api) path(k catalogue.Kind, namespace, name, subresource string) []string {
	gv, _ := schema.ParseGroupVersion(k.APIVersion)
	path := []string{"apis", gv.Group, gv.Version}
	if gv.Group == "" {
		path = []string{"api", gv.Version}
	}
	if namespace = cmp.Or(namespace, a.namespace); !k.ClusterScoped && namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	path = append(path, k.Resource)
	for _, part := range []string{name, subresource} {
		if part != "" {
			path = append(path, part)
		}
	}
	return path
}

func (a *api) get(ctx context.Context, r catalogue.Read) ([]byte, error) {
	request := a.client.Get().AbsPath(a.path(r.Kind, "", r.Name, r.Subresource)...).SetHeader("Accept", "application/json")
	for name, value := range r.Query {
		request.Param(name, value)
	}
	if r.Name == "" {
		request.Param("limit", fmt.Sprint(maxRead))
		for name, selector := range map[string]string{"labelSelector": r.Labels, "fieldSelector": r.Fields} {
			if selector != "" {
				request.Param(name, selector)
			}
		}
	}
	return answerOf(request.Do(ctx))
}

// do makes a change, or only has it checked, and returns what the API server answers: for a patch, the object as it is then.
func (a *api) do(ctx context.Context, c catalogue.Change, manager string, dryRun bool) ([]byte, error) {
	request, err := a.request(c, manager, dryRun)
	if err != nil {
		return nil, err
	}
	return answerOf(request.SetHeader("Accept", "application/json").Do(ctx))
}

// answerOf is what the API server answered: its own words where it said no.
func answerOf(result rest.Result) ([]byte, error) {
	raw, err := result.Raw()
	if err == nil {
		return raw, nil
	}
	var status metav1.Status
	if json.Unmarshal(raw, &status) == nil && status.Kind == "Status" && status.Status == metav1.StatusFailure && status.Code != 0 {
		return nil, &apierrors.StatusError{ErrStatus: status}
	}
	return nil, err
}

// generationOf an object; 0 for what has none.
func generationOf(raw []byte) int64 {
	var object struct {
		Metadata struct {
			Generation int64 `json:"generation"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(raw, &object)
	return object.Metadata.Generation
}

func (a *api) request(c catalogue.Change, manager string, dryRun bool) (*rest.Request, error) {
	var request *rest.Request
	body := c.Body
	switch c.Verb {
	case catalogue.Patch, "":
		request = a.client.Patch(types.PatchType(c.PatchType)).AbsPath(a.path(c.Kind, c.Namespace, c.Name, c.Subresource)...)
	case catalogue.Create:
		name := ""
		if c.Subresource != "" {
			name = c.Name
		}
		request = a.client.Post().AbsPath(a.path(c.Kind, c.Namespace, name, c.Subresource)...).SetHeader("Content-Type", "application/json")
	case catalogue.Update:
		request = a.client.Put().AbsPath(a.path(c.Kind, c.Namespace, c.Name, c.Subresource)...).SetHeader("Content-Type", "application/json")
	case catalogue.Delete:
		return a.deletion(c, dryRun)
	default:
		return nil, fmt.Errorf("%w: the verb %q is none that can be executed", errNever, c.Verb)
	}
	if c.PatchType == catalogue.ApplyPatch {
		request.Param("force", "true")
	}
	if c.InPlaceOf != "" {
		manager = managerOf(c.InPlaceOf)
	}
	request.Param("fieldManager", manager).Param("fieldValidation", "Strict").Body(body)
	if dryRun {
		request.Param("dryRun", "All")
	}
	return request, nil
}

// deletion carries its options in the body: the API server takes none from the query where there is one.
func (a *api) deletion(c catalogue.Change, dryRun bool) (*rest.Request, error) {
	var options metav1.DeleteOptions
	if err := json.Unmarshal(c.Body, &options); err != nil {
		return nil, fmt.Errorf("%w: options of a delete: %w", errNever, err)
	}
	options.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	body, err := json.Marshal(options)
	return a.client.Delete().AbsPath(a.path(c.Kind, c.Namespace, c.Name, c.Subresource)...).SetHeader("Content-Type", "application/json").Body(body), err
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
