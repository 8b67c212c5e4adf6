package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/usage"
	hubenrol "github.com/writ-dev/writ/hub/enrol"
)

const (
	// maxKeys bounds the file of keys, in bytes; the hub takes less.
	maxKeys = 1 << 20
	// dialWithin bounds how long an API server that does not answer is waited for.
	dialWithin = 10 * time.Second
)

// identified says how a workload cluster is told from every other: from its kubeconfig, or from what its admin has read there.
type identified struct {
	kubeconfig        string
	jwks, issuer, uid string
}

// howToRead is for whoever has no kubeconfig of the workload cluster.
const howToRead = "--workload is needed, the kubeconfig of the workload cluster; or what its admin reads there: " +
	"--jwks (kubectl get --raw /openid/v1/jwks), --issuer (kubectl get --raw /.well-known/openid-configuration) and " +
	"--cluster-uid (kubectl get namespace kube-system -o jsonpath={.metadata.uid})"

func (i *identified) flags(flags *pflag.FlagSet) {
	flags.StringVar(&i.kubeconfig, "workload", "", "kubeconfig of the workload cluster, for this command alone")
	flags.StringVar(&i.jwks, "jwks", "", "without --workload: a file with the public keys of its ServiceAccounts' tokens (JWKS); - is standard input")
	flags.StringVar(&i.issuer, "issuer", "", "without --workload: the issuer of these tokens")
	flags.StringVar(&i.uid, "cluster-uid", "", "without --workload: the UID of its namespace kube-system")
}

// check says whether enough was given, and not too much.
func (i identified) check() error {
	read := i.jwks != "" || i.issuer != "" || i.uid != ""
	switch {
	case i.kubeconfig != "" && read:
		return usage.Errorf("--workload reads what --jwks, --issuer and --cluster-uid say: give one or the other")
	case i.kubeconfig == "" && (i.jwks == "" || i.issuer == "" || i.uid == ""):
		return usage.Errorf("%s", howToRead)
	}
	return nil
}

// pin is what the hub is to hold fast of the cluster. It is checked as the hub will check it.
func (i identified) pin(ctx context.Context, stdin io.Reader) (*v1alpha1.WorkloadPin, error) {
	pin, err := i.read(ctx, stdin)
	if err != nil {
		return nil, err
	}
	if _, err := hubenrol.ParsePin(*pin); err != nil {
		return nil, fmt.Errorf("the workload cluster: %w", err)
	}
	return pin, nil
}

func (i identified) read(ctx context.Context, stdin io.Reader) (*v1alpha1.WorkloadPin, error) {
	if i.kubeconfig != "" {
		config, err := workloadConfig(i.kubeconfig)
		if err != nil {
			return nil, err
		}
		return readPin(ctx, config)
	}
	keys, err := readKeys(i.jwks, stdin)
	if err != nil {
		return nil, fmt.Errorf("the JWKS: %w", err)
	}
	return &v1alpha1.WorkloadPin{UID: i.uid, Issuer: i.issuer, JWKS: keys}, nil
}

func readKeys(path string, in io.Reader) (string, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxKeys))
	return string(raw), err
}

func workloadConfig(path string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	config.QPS, config.UserAgent = -1, "writ"
	config.Dial = (&net.Dialer{Timeout: dialWithin}).DialContext
	return config, nil
}

// readPin asks the workload cluster which one it is, and with which keys it signs.
func readPin(ctx context.Context, config *rest.Config) (*v1alpha1.WorkloadPin, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the workload cluster: %w", err)
	}
	system, err := c.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("the workload cluster: which one is it: %w", err)
	}
	discovery, err := c.Discovery().RESTClient().Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("the workload cluster: the issuer of its ServiceAccounts' tokens: %w", err)
	}
	var said struct{ Issuer string }
	if err := json.Unmarshal(discovery, &said); err != nil || said.Issuer == "" {
		return nil, errors.New("the workload cluster does not say who issues its ServiceAccounts' tokens: see --service-account-issuer of its API server")
	}
	keys, err := c.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("the workload cluster: the keys of its ServiceAccounts' tokens: %w", err)
	}
	return &v1alpha1.WorkloadPin{UID: string(system.UID), Issuer: said.Issuer, JWKS: string(keys)}, nil
}
