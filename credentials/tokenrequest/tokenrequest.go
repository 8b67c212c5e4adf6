// Package tokenrequest issues credentials where there is no Vault: the workload cluster's own API server gives a token for the
// ServiceAccount of the action (Kubernetes TokenRequest).
//
// The spoke may ask for tokens of these accounts and for nothing else. A token may do what its action needs on any target in
// the namespaces that the cluster's admin allowed (deploy/spoke): the RBAC of an order binds its one target only where Vault
// issues. It lives ten minutes, the least that Kubernetes gives, and cannot be taken back: revoking forgets it.
package tokenrequest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

// least is the shortest life that the API server gives a token.
const least = 10 * time.Minute

// Namespace holds nothing but the identities of actions.
const Namespace = "writ-actions"

// Account is the ServiceAccount of an action, in Namespace.
func Account(action string) string { return "writ-action-" + action }

// Issuer implements credentials.Issuer.
type Issuer struct{ client rest.Interface }

// New makes an issuer. config is the spoke's own identity.
func New(config *rest.Config) (*Issuer, error) {
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	config.QPS = -1
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client for tokens: %w", err)
	}
	return &Issuer{client: client}, nil
}

type tokenRequest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		ExpirationSeconds int64 `json:"expirationSeconds"`
	} `json:"spec"`
	Status struct {
		Token               string    `json:"token"`
		ExpirationTimestamp time.Time `json:"expirationTimestamp"`
	} `json:"status"`
}

// Issue implements credentials.Issuer.
func (i *Issuer) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	name := Account(v.Order().Action)
	request := tokenRequest{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}
	request.Spec.ExpirationSeconds = int64(max(life, least).Seconds())
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	raw, err := i.client.Post().AbsPath("api", "v1", "namespaces", Namespace, "serviceaccounts", name, "token").
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx).Raw()
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: a token for %s/%s: apply deploy/spoke with this action allowed: %w", credentials.ErrRefused, Namespace, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("token for %s/%s: %w", Namespace, name, err)
	}
	var answer tokenRequest
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Status.Token == "" {
		return nil, fmt.Errorf("token for %s/%s: the API server's answer holds none", Namespace, name)
	}
	if given := time.Duration(answer.Spec.ExpirationSeconds) * time.Second; given < life {
		return nil, fmt.Errorf("%w: the API server's tokens live %s, the action may take %s", credentials.ErrRefused, given, life)
	}
	id, err := tokenID(answer.Status.Token)
	if err != nil {
		return nil, fmt.Errorf("token for %s/%s: %w", Namespace, name, err)
	}
	return credentials.NewLease("tokenrequest", id, answer.Status.Token, answer.Status.ExpirationTimestamp,
		func(context.Context) error { return nil }), nil
}

// tokenID is the token's own name (the claim jti), under which the API server's audit log knows it. No secret.
func tokenID(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("it is no JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", errors.New("it is no JWT")
	}
	var claims struct {
		ID string `json:"jti"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil || claims.ID == "" {
		return "", errors.New("it has no ID")
	}
	return claims.ID, nil
}
