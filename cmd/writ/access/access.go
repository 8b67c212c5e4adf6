// Package access reaches the hub's API server as the person whose kubeconfig it is: with no other right, and no cache.
//
// What goes wrong there comes back as one line that says what to do.
package access

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/pflag"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// dialWithin bounds how long an API server that does not answer is waited for.
const dialWithin = 10 * time.Second

// Hub says which hub is spoken to, and as whom.
type Hub struct {
	Kubeconfig string
	Context    string
	Namespace  string // as given; empty: the context's own
}

// Flags adds the flags that all commands share.
func (h *Hub) Flags(flags *pflag.FlagSet) {
	flags.StringVar(&h.Kubeconfig, "kubeconfig", "", "kubeconfig of the hub (default: $KUBECONFIG, then ~/.kube/config)")
	flags.StringVar(&h.Context, "context", "", "context of the kubeconfig (default: its current one)")
	flags.StringVarP(&h.Namespace, "namespace", "n", "", "namespace of the requests (default: the context's, else \"default\")")
}

// In is the namespace that commands work in.
func (h *Hub) In() string {
	if h.Namespace != "" {
		return h.Namespace
	}
	if namespace, _, err := h.config().Namespace(); err == nil && namespace != "" {
		return namespace
	}
	return "default"
}

// Key reads the name of an object: NAME, NAMESPACE/NAME, or as -o name prints it.
func (h *Hub) Key(arg string) client.ObjectKey {
	if resource, name, ok := strings.Cut(arg, "/"); ok {
		if strings.HasSuffix(resource, "."+v1alpha1.GroupVersion.Group) {
			return client.ObjectKey{Namespace: h.In(), Name: name}
		}
		return client.ObjectKey{Namespace: resource, Name: name}
	}
	return client.ObjectKey{Namespace: h.In(), Name: arg}
}

// Client makes a client; warnings of the API server go to the writer.
func (h *Hub) Client(warnings io.Writer) (client.WithWatch, error) {
	config, err := h.Config(warnings)
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: Scheme(), Mapper: Mapper()})
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return c, nil
}

// Config is how the hub's API server is reached; its warnings go to the writer.
func (h *Hub) Config(warnings io.Writer) (*rest.Config, error) {
	config, err := h.config().ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("which hub? Pass --kubeconfig FILE, or set KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS = -1 // the API server has limits of its own
	config.UserAgent = "writ"
	config.Dial = (&net.Dialer{Timeout: dialWithin}).DialContext
	config.WarningHandler = rest.NewWarningWriter(warnings, rest.WarningWriterOptions{Deduplicate: true})
	return config, nil
}

func (h *Hub) config() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = h.Kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: h.Context})
}

// Scheme knows every type that the commands read and write.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, authenticationv1.AddToScheme, certificatesv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(fmt.Sprintf("scheme: %v", err)) // types of this program's own
		}
	}
	return scheme
}

// Mapper names the resources without asking the API server for all that it has.
func Mapper() meta.RESTMapper {
	known := meta.NewDefaultRESTMapper(nil)
	known.Add(v1alpha1.GroupVersion.WithKind("Cluster"), meta.RESTScopeRoot)
	known.Add(v1alpha1.GroupVersion.WithKind("Freeze"), meta.RESTScopeRoot)
	known.Add(v1alpha1.GroupVersion.WithKind("ActionPolicy"), meta.RESTScopeRoot)
	known.Add(v1alpha1.GroupVersion.WithKind("ActionTemplate"), meta.RESTScopeRoot)
	known.Add(v1alpha1.GroupVersion.WithKind("ActionRequest"), meta.RESTScopeNamespace)
	known.Add(v1alpha1.GroupVersion.WithKind("Approval"), meta.RESTScopeNamespace)
	known.Add(v1alpha1.GroupVersion.WithKind("Rollout"), meta.RESTScopeNamespace)
	known.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	known.Add(certificatesv1.SchemeGroupVersion.WithKind("CertificateSigningRequest"), meta.RESTScopeRoot)
	known.Add(authenticationv1.SchemeGroupVersion.WithKind("SelfSubjectReview"), meta.RESTScopeRoot)
	return known
}
