package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/internal/world/process"
	"github.com/writ-dev/writ/internal/world/tools"
)

// authentication is what the API server takes besides its own certificates
// and tokens: nothing.
const authentication = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
` + anonymous

// anonymous lets anonymous callers see the API server's health and nothing
// else.
const anonymous = `anonymous:
  enabled: true
  conditions:
  - path: /livez
  - path: /readyz
  - path: /healthz
`

// startControlPlane finds a port, starts the API server and waits for it.
func (c *Cluster) startControlPlane(ctx context.Context) (err error) {
	c.port = c.opts.Port
	if c.port == 0 {
		if c.port, err = process.FreePort(); err != nil {
			return err
		}
	}
	if c.admin, err = c.KubeconfigFor("admin", []string{"system:masters"}); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

// StartAPIServer brings the API server back after StopAPIServer, on the same
// port and with the same data, and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return errors.New("the cluster is stopped")
	case c.apiServer != nil:
		return errors.New("the API server runs already")
	}
	if err := process.CheckPort(c.port); err != nil {
		return err
	}
	p, err := c.run(tools.KubeAPIServer, c.apiServerArgs()...)
	if err != nil {
		return err
	}
	if err := c.awaitReady(ctx, p); err != nil {
		p.Kill()
		return err
	}
	c.apiServer = p
	return nil
}

// StopAPIServer ends the API server without a goodbye, as a power cut would:
// connections break, watches end, the data stays in etcd.
func (c *Cluster) StopAPIServer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apiServer != nil {
		c.apiServer.Kill()
		c.apiServer = nil
	}
}

func (c *Cluster) apiServerArgs() []string {
	args := []string{
		"--etcd-servers=" + c.etcdURL,
		"--etcd-cafile=" + c.file("ca.crt"),
		"--etcd-certfile=" + c.file("etcd.crt"),
		"--etcd-keyfile=" + c.file("etcd.key"),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none", // refuses loopback addresses
		"--secure-port=" + strconv.Itoa(c.port),
		"--tls-cert-file=" + c.file("apiserver.crt"),
		"--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--authentication-config=" + c.file("authentication.yaml"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.file("service-account.pub"),
		"--service-account-signing-key-file=" + c.file("service-account.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--allow-privileged=true",
		// no controller here removes the taint that new nodes get from it
		"--disable-admission-plugins=TaintNodesByCondition",
		"--profiling=false",
		"--storage-media-type=application/vnd.kubernetes.protobuf",
	}
	if !c.opts.Controllers {
		// nobody makes the ServiceAccounts it would demand of every pod
		args[len(args)-3] += ",ServiceAccount"
	}
	return append(args, c.opts.APIServerArgs...)
}

func (c *Cluster) awaitReady(ctx context.Context, p *process.Process) error {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return p.Await(ctx, readyWithin, "the API server is not ready", func(ctx context.Context) error {
		if _, err := client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
			return err
		}
		for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
			if _, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}
