package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// agentNamespace begins the name of an agent class's namespace; agentAccount is its ServiceAccount there.
	agentNamespace, agentAccount = "writ-agent-", "agent"
	// agentTokenLife is of a token of such an account; the API server has the last word. It is renewed before its end.
	agentTokenLife = time.Hour
	// agentTokenWithin bounds the asking for one.
	agentTokenWithin = 10 * time.Second
)

// identityOf is the identity with which a class proposes: the one in its kubeconfig, or tokens of its ServiceAccount that the hub
// asks for. It is never the hub's own.
func identityOf(kube *rest.Config, r reasoner) (*rest.Config, error) {
	if r.Kubeconfig != "" {
		return clusterConfig(r.Kubeconfig)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authenticationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	source := &tokens{client: c, account: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace + r.AgentClass, Name: agentAccount}}}
	identity := rest.AnonymousClientConfig(kube)
	identity.Wrap(transport.TokenSourceWrapTransport(transport.NewCachedTokenSource(source)))
	return identity, nil
}

// tokens asks for tokens of a ServiceAccount.
type tokens struct {
	client  client.Client
	account *corev1.ServiceAccount
}

// Token implements oauth2.TokenSource.
func (t *tokens) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), agentTokenWithin)
	defer cancel()
	seconds := int64(agentTokenLife.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if err := t.client.SubResource("token").Create(ctx, t.account.DeepCopy(), request); err != nil {
		return nil, fmt.Errorf("token of %s/%s: %w", t.account.Namespace, t.account.Name, err)
	}
	expires := request.Status.ExpirationTimestamp.Time
	return &oauth2.Token{AccessToken: request.Status.Token, TokenType: "Bearer", Expiry: expires.Add(-time.Until(expires) / 5)}, nil
}
