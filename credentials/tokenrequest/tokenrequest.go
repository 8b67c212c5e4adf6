// Package tokenrequest issues credentials where there is no Vault, from the workload cluster's own API server.
//
// Each action gets a ServiceAccount of its own, in Namespace, and a binding of its own to its action's Role in its target's
// namespace; both are gone once its lease is revoked. RBAC bounds the namespace and the verbs, admission the one object: it is in
// the account's name (deploy/spoke). The token itself lives ten minutes, the least that Kubernetes gives; it is worth nothing from
// the moment that its account and binding are gone.
//
// It is not the spoke's own account that makes and removes identities, but Binder's, whose token the spoke asks for: it can do
// nothing else, and nothing to what others made.
package tokenrequest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
)

const (
	// least is the shortest life that the API server gives a token.
	least = 10 * time.Minute
	// patience bounds what is done for whoever has given up.
	patience = 20 * time.Second
)

const (
	// System is the spoke's own namespace.
	System = "writ-system"
	// Binder is the ServiceAccount in System that makes and removes the identities of actions.
	Binder = "writ-binder"
	// Namespace holds nothing but the identities of actions.
	Namespace = "writ-actions"
)

// Role is what an action's identities are bound to, in each allowed namespace; a ClusterRole where it acts on what has none.
func Role(action string) string { return RolePrefix + action }

// RolePrefix is what the names of all Roles of actions begin with.
const RolePrefix = "writ-action-"

// Sandbox holds the identities of rehearsals, which admission there holds to dry runs, and their Jobs.
const Sandbox = "writ-sandbox"

// RehearsalAccount is the ServiceAccount of an action's rehearsals, in Sandbox. It may do what the action may, as Kubernetes
// authorises a dry run like the real thing.
func RehearsalAccount(action string) string { return "writ-rehearsal-" + action }

// ProbeAccount is the ServiceAccount of the pods of probes, in Sandbox. It has no rights, and its pods no token. ProbeLabel is what they
// and their Jobs bear; the names of their Jobs, and of the NetworkPolicies that let them out, begin with ProbePrefix.
const (
	ProbeAccount = "writ-probe"
	ProbeLabel   = "writ.dev/probe"
	ProbePrefix  = "writ-probe-"
)

// NodeDNS is where NodeLocal DNSCache answers pods, in clusters that have it: the one address of a node's link that probes may reach.
const NodeDNS = "169.254.20.10/32"

// Issuer implements credentials.Issuer and credentials.Rehearser.
type Issuer struct {
	spoke  rest.Interface // as the spoke itself
	binder rest.Interface // as Binder

	mu      sync.Mutex        // guards dryRuns
	dryRuns map[string]*given // by action: of the identities of rehearsals
}

// New makes an issuer. config is the spoke's own identity. The API server is not called until the first Issue.
func New(config *rest.Config) (*Issuer, error) {
	spoke, err := newClient(config)
	if err != nil {
		return nil, err
	}
	binder, err := newClient(asBinder(config, spoke))
	if err != nil {
		return nil, err
	}
	return &Issuer{spoke: spoke, binder: binder, dryRuns: map[string]*given{}}, nil
}

func newClient(config *rest.Config) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	config.QPS = -1
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client for tokens: %w", err)
	}
	return client, nil
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

// Bind makes the identity of a bundle's action without a token, for who has Vault vouch for it. Where it fails nothing is left of it,
// as far as the API server lets it be removed.
func (i *Issuer) Bind(ctx context.Context, v trust.Verified) error {
	who, err := identityOf(v.Decoded())
	if err != nil {
		return err
	}
	return i.make(ctx, who, v.Order(), func() error { return nil })
}

// Issue implements credentials.Issuer. Where it fails nothing is left of the identity, as far as the API server lets it be removed.
func (i *Issuer) Issue(ctx context.Context, v trust.Verified, life time.Duration) (*credentials.Lease, error) {
	who, err := identityOf(v.Decoded())
	if err != nil {
		return nil, err
	}
	var t *given
	err = i.make(ctx, who, v.Order(), func() (err error) {
		t, err = token(ctx, i.binder, Namespace, who.account, life)
		return err
	})
	if err != nil {
		return nil, err
	}
	return credentials.NewLease("tokenrequest", who.id(), t.secret, t.expires, func(ctx context.Context) error { return i.remove(ctx, who) }), nil
}

// Foretell implements credentials.Issuer.
func (i *Issuer) Foretell(v trust.Verified) string {
	who, err := identityOf(v.Decoded())
	if err != nil {
		return "" // Issue will refuse
	}
	return who.id()
}

// End implements credentials.Issuer.
func (i *Issuer) End(ctx context.Context, id string) error {
	who, err := parseID(id)
	if err != nil {
		return err
	}
	return i.remove(ctx, who)
}

// Rehearse implements credentials.Rehearser. Also where Vault issues, the identities of rehearsals are the cluster's own: there is
// nothing that they could change.
func (i *Issuer) Rehearse(ctx context.Context, r trust.Rehearsable, life time.Duration) (*credentials.RehearsalLease, error) {
	t, err := token(ctx, i.spoke, Sandbox, RehearsalAccount(r.Rehearsal().Action), life)
	if err != nil {
		return nil, err
	}
	return t.rehearsal(), nil
}

// given is a token as the API server gave it.
type given struct {
	id, secret string
	expires    time.Time
}

// token asks for a token of an account.
func token(ctx context.Context, client rest.Interface, namespace, name string, life time.Duration) (*given, error) {
	request := tokenRequest{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}
	request.Spec.ExpirationSeconds = int64(max(life, least).Seconds())
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	raw, err := client.Post().AbsPath("api", "v1", "namespaces", namespace, "serviceaccounts", name, "token").
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx).Raw()
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, refused("a token for "+namespace+"/"+name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("token for %s/%s: %w", namespace, name, err)
	}
	var answer tokenRequest
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Status.Token == "" {
		return nil, fmt.Errorf("token for %s/%s: the API server's answer holds none", namespace, name)
	}
	if given := time.Duration(answer.Spec.ExpirationSeconds) * time.Second; given < life {
		return nil, fmt.Errorf("%w: the API server's tokens live %s, the action may take %s", credentials.ErrRefused, given, life)
	}
	id, err := tokenID(answer.Status.Token)
	if err != nil {
		return nil, fmt.Errorf("token for %s/%s: %w", namespace, name, err)
	}
	return &given{id: id, secret: answer.Status.Token, expires: answer.Status.ExpirationTimestamp}, nil
}

// refused is a no of the API server to what deploy/spoke would have allowed.
func refused(what string, err error) error {
	return fmt.Errorf("%w: %s: apply deploy/spoke with this action allowed: %w", credentials.ErrRefused, what, err)
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
