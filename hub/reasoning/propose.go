package reasoning

import (
	"context"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// Door proposes by creating ActionRequests on the hub's API server, as everybody does. Who asks is written there, at
// admission, from the identity that it is used with.
type Door struct {
	requests dynamic.ResourceInterface
}

// NewDoor makes a door. config is the ServiceAccount of the agent class, namespace the class's own.
func NewDoor(config *rest.Config, namespace string) (*Door, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the agent class: %w", err)
	}
	return &Door{requests: client.Resource(v1alpha1.GroupVersion.WithResource("actionrequests")).Namespace(namespace)}, nil
}

// Propose creates the action request. One that exists already by the decision's name is the one of an earlier attempt.
func (d *Door) Propose(ctx context.Context, p Proposal) error {
	request := v1alpha1.ActionRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ActionRequest"},
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec: v1alpha1.ActionRequestSpec{
			Cluster: p.Cluster, Action: p.Action, Reason: p.Reason, DecisionID: p.DecisionID, Traceparent: p.Traceparent,
			Target: v1alpha1.Target{APIVersion: p.Target.APIVersion, Kind: p.Target.Kind, Namespace: p.Target.Namespace, Name: p.Target.Name},
		},
	}
	if len(p.Parameters) > 0 {
		request.Spec.Parameters = &apiextensionsv1.JSON{Raw: p.Parameters}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&request)
	if err != nil {
		return fmt.Errorf("action request %s: %w", p.Name, err)
	}
	delete(content, "status")
	_, err = d.requests.Create(ctx, &unstructured.Unstructured{Object: content},
		metav1.CreateOptions{FieldManager: "writ-reasoner", FieldValidation: metav1.FieldValidationStrict})
	switch {
	case err == nil || apierrors.IsAlreadyExists(err):
		return nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err):
		return fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return fmt.Errorf("action request %s: %w", p.Name, err)
}
