package stage

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// Cluster is one on kind, with one node.
type Cluster struct {
	Name       string
	Node       string // the container; its name on Docker's network too
	Kubeconfig string // of its administrator
	Config     *rest.Config
	Client     client.WithWatch // of its administrator
}

func openCluster(s Settings, name string) (*Cluster, error) {
	c := &Cluster{Name: name, Node: s.Prefix + name + "-control-plane", Kubeconfig: filepath.Join(s.Kubeconfigs, name+".kubeconfig")}
	var err error
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return nil, err
	}
	c.Config.QPS, c.Config.Burst = 100, 200
	c.Client, err = newClient(c.Config)
	return c, err
}

func newClient(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// Server is how other clusters reach this one's API server.
func (c *Cluster) Server() string { return "https://" + c.Node + ":6443" }

// Exec runs a program in the node.
func (c *Cluster) Exec(ctx context.Context, args ...string) (string, error) {
	return run(ctx, nil, "docker", append([]string{"exec", c.Node}, args...)...)
}

// Kill ends a program in the node as kill -9 does, in whatever pod it runs.
func (c *Cluster) Kill(ctx context.Context, program string) error {
	_, err := c.Exec(ctx, "sh", "-c", "kill -9 $(pidof "+program+")")
	return err
}

// Address is the node's on Docker's network.
func (c *Cluster) Address(ctx context.Context) (string, error) {
	out, err := run(ctx, nil, "docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", c.Node)
	return strings.TrimSpace(out), err
}

// network is the one that kind puts its nodes on.
const network = "kind"

// Disconnect takes the node off the network: nobody reaches it, and it reaches nobody.
func (c *Cluster) Disconnect(ctx context.Context) error {
	_, err := run(ctx, nil, "docker", "network", "disconnect", network, c.Node)
	return err
}

// Connect puts the node back, and fails where it did not get the address that it had.
func (c *Cluster) Connect(ctx context.Context, address string) error {
	if _, err := run(ctx, nil, "docker", "network", "connect", network, c.Node); err != nil {
		return err
	}
	now, err := c.Address(ctx)
	if err == nil && now != address {
		err = fmt.Errorf("%s has the address %s now, and had %s: delete the cluster", c.Node, now, address)
	}
	return err
}

// Pause finds the image that does nothing and is on every node.
func (c *Cluster) Pause(ctx context.Context) (string, error) { return c.Image(ctx, "/pause:") }

// Image finds an image of Kubernetes' own that the node has, by a part of its name.
func (c *Cluster) Image(ctx context.Context, part string) (string, error) {
	out, err := c.Exec(ctx, "ctr", "--namespace=k8s.io", "images", "list", "-q")
	if err != nil {
		return "", err
	}
	for _, image := range strings.Fields(out) {
		if strings.HasPrefix(image, "registry.k8s.io/") && strings.Contains(image, part) {
			return image, nil
		}
	}
	return "", fmt.Errorf("%s has no image registry.k8s.io/…%s", c.Node, part)
}
