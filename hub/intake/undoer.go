package intake

import (
	"context"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// maxReason bounds the reason of a request, in bytes; the kind has the same bound.
const maxReason = 1000

// Undoer writes the requests that undo others, beside them and under a name that follows from theirs.
type Undoer struct {
	client client.Client
}

// NewUndoer makes an undoer; the intake gives it its client.
func NewUndoer() *Undoer { return &Undoer{} }

// Undo implements gateway.Undoer.
func (u *Undoer) Undo(ctx context.Context, of gateway.Request, trace string, inverse catalogue.Undo, why string) (string, error) {
	target := of.Target
	if inverse.Target != nil { // what the action made
		target = *inverse.Target
	}
	object := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: v1alpha1.UndoName(of.Name)},
		Spec: v1alpha1.ActionRequestSpec{
			Cluster: of.Cluster, Action: inverse.Action, Parameters: &apiextensionsv1.JSON{Raw: inverse.Parameters},
			Target: v1alpha1.Target{APIVersion: target.APIVersion, Kind: target.Kind, Namespace: target.Namespace, Name: target.Name},
			Reason: strings.ToValidUTF8(why[:min(len(why), maxReason)], ""), Traceparent: trace,
			Undoes: &v1alpha1.Reference{Name: of.Name, UID: of.ID},
		}}
	err := u.client.Create(ctx, object)
	switch {
	case apierrors.IsNotFound(err): // the namespace is gone
		return "", nil
	case !apierrors.IsAlreadyExists(err):
		return object.Name, err
	}
	var there v1alpha1.ActionRequest
	if err := u.client.Get(ctx, client.ObjectKeyFromObject(object), &there); err != nil {
		return "", err // the cache has not seen it yet, or it was deleted: ask again
	}
	if there.Spec.Undoes == nil || there.Spec.Undoes.UID != of.ID {
		return "", nil
	}
	return object.Name, nil
}
