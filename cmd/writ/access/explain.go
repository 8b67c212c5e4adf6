package access

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// justDefined is in what admission policies say of a kind whose schema they have not got yet.
const justDefined = "There can be a delay between when CustomResourceDefinitions are created"

// Explain turns what the API server or the way to it says into one line that says what to do. Other errors stay as they are.
func Explain(err error) error {
	var unreachable *url.Error
	var status apierrors.APIStatus
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &status):
		return explainStatus(err, status.Status())
	case errors.As(err, &unreachable):
		return fmt.Errorf("the hub's API server at %s cannot be reached: %w", origin(unreachable.URL), innermost(unreachable.Err))
	}
	return err
}

func explainStatus(err error, status metav1.Status) error {
	_, policy, byPolicy := strings.Cut(status.Message, "denied request: ")
	switch {
	case apierrors.IsUnauthorized(err):
		return errors.New("the hub's API server does not know you: check the credentials in the kubeconfig")
	case strings.Contains(status.Message, justDefined):
		return errors.New("the hub's cluster has only just been told of Writ's objects: try again in a few seconds")
	case byPolicy:
		return fmt.Errorf("refused at admission: %s", policy)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("not allowed: %s (the roles writ-requester, writ-approver and writ-operator are there to be bound)", status.Message)
	case notServed(status):
		return errors.New("the hub's cluster does not know the objects of writ.dev/v1alpha1: apply the CRDs of deploy/hub first, or choose another --context")
	case apierrors.IsConflict(err):
		return fmt.Errorf("somebody else changed it at the same time: look again (%s)", status.Message)
	}
	return errors.New(status.Message)
}

// notServed tells a kind that is not defined from an object that is not there.
func notServed(status metav1.Status) bool {
	if status.Reason != metav1.StatusReasonNotFound || status.Details == nil {
		return false
	}
	for _, cause := range status.Details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse {
			return true
		}
	}
	return false
}

// NotFound reports whether the object is not there, though its kind is.
func NotFound(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && apierrors.IsNotFound(err) && !notServed(status.Status())
}

// origin is the part of a URL that says where.
func origin(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return parsed.Scheme + "://" + parsed.Host
}

// innermost strips the layers that repeat the address.
func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}
