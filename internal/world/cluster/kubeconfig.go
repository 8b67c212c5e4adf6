package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigFor writes a kubeconfig with a client certificate for a user and
// its groups, mode 0600, and returns its path. What the user may do is for
// RBAC to say: bind roles to it.
func (c *Cluster) KubeconfigFor(user string, groups []string) (string, error) {
	cert, key, err := c.ca.Client(user, groups...)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(fileName(append([]string{user}, groups...)...), &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
}

// KubeconfigForServiceAccount writes a kubeconfig with a token that the API
// server issues for the ServiceAccount (TokenRequest; 10 minutes at least).
func (c *Cluster) KubeconfigForServiceAccount(ctx context.Context, namespace, name string, life time.Duration) (string, error) {
	token, err := c.TokenFor(ctx, namespace, name, life)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(fileName("serviceaccount", namespace, name), &api.AuthInfo{Token: token})
}

// TokenFor returns a token for the ServiceAccount, for parts that take one
// without a kubeconfig. Without an audience it is the API server's own.
func (c *Cluster) TokenFor(ctx context.Context, namespace, name string, life time.Duration, audiences ...string) (string, error) {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return "", fmt.Errorf("client: %w", err)
	}
	seconds := int64(life.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds, Audiences: audiences}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token for %s/%s: %w", namespace, name, err)
	}
	return token.Status.Token, nil
}

func (c *Cluster) writeKubeconfig(name string, who *api.AuthInfo) (string, error) {
	config := api.NewConfig()
	config.Clusters[c.opts.Name] = &api.Cluster{Server: c.Server(), CertificateAuthorityData: c.ca.PEM}
	config.AuthInfos[c.opts.Name] = who
	config.Contexts[c.opts.Name] = &api.Context{Cluster: c.opts.Name, AuthInfo: c.opts.Name}
	config.CurrentContext = c.opts.Name
	path := c.file(name + ".kubeconfig")
	if err := writeWhole(path, config); err != nil {
		return "", fmt.Errorf("write kubeconfig: %w", err)
	}
	return path, nil
}

// writeWhole replaces a file at once: who reads an earlier one never sees
// half of the new.
func writeWhole(path string, config *api.Config) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "kubeconfig-")
	if err != nil {
		return err
	}
	_ = temporary.Close()
	if err := clientcmd.WriteToFile(*config, temporary.Name()); err != nil {
		_ = os.Remove(temporary.Name())
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// LoadKubeconfig returns the client configuration that a kubeconfig holds,
// without client-side rate limits: the API server has its own.
func LoadKubeconfig(path string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig %s: %w", path, err)
	}
	config.QPS = -1
	return config, nil
}

var unsafe = regexp.MustCompile(`[^a-z0-9-]+`)

// fileName is readable, and different for different parts.
func fileName(parts ...string) string {
	if slices.Equal(parts, []string{"admin", "system:masters"}) {
		return "admin"
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	readable := unsafe.ReplaceAllString(strings.ToLower(parts[0]), "-")
	return readable + "-" + hex.EncodeToString(sum[:4])
}
