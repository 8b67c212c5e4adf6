// Package cluster starts real Kubernetes clusters without containers: etcd
// and kube-apiserver on loopback, and on demand the controller manager, the
// scheduler, and kwok's simulated nodes.
//
// A cluster authenticates and authorizes like any other: certificates, tokens
// and RBAC are the API server's own, anonymous callers see its health and
// nothing else. Only the kubelet is simulated: pods get their status from
// rules (see stages.yaml), no container runs. Everything ends with this
// process.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/internal/world/ca"
	"github.com/writ-dev/writ/internal/world/process"
	"github.com/writ-dev/writ/internal/world/tools"
)

// Options says what kind of cluster to start. The zero value is an API server
// with an empty store, in a temporary directory.
type Options struct {
	Name string // for kubeconfigs, node names and errors; "" is "world"

	// Dir holds keys, data, logs and kubeconfigs, and is made with mode 0700.
	// A Dir that an earlier cluster left is that cluster again. "" is a
	// temporary directory that Stop removes.
	Dir string

	Port int // of the API server; 0 is a free one

	// Controllers adds kube-controller-manager: namespaces are really
	// deleted, owned objects collected, ServiceAccounts made.
	Controllers bool

	// Workloads adds kube-scheduler and kwok too (and Controllers): a
	// Deployment rolls out in a second or two, or fails to.
	Workloads bool
	Nodes     int // simulated nodes of Workloads; 0 is 2

	// Fsync makes etcd sync every write, as in production. Tests go without,
	// benchmarks need it.
	Fsync bool

	APIServerArgs []string  // added last, so they override
	Progress      io.Writer // hears of compiling; nil is silence
}

// Cluster is one running cluster. Its methods may be called from several
// goroutines.
type Cluster struct {
	opts   Options
	dir    string
	ownDir bool
	paths  tools.Paths
	ca     *ca.Authority
	admin  string // kubeconfig
	port   int

	mu        sync.Mutex
	etcd      *process.Process
	etcdURL   string
	apiServer *process.Process
	others    []*process.Process
	stopped   bool
}

const (
	readyWithin = 60 * time.Second
	stopWithin  = 5 * time.Second
	portTries   = 3
)

// Start brings a cluster up and returns when its API server is ready and the
// namespaces default and kube-system exist.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	opts.setDefaults()
	names := []string{tools.Etcd, tools.KubeAPIServer}
	if opts.Controllers {
		names = append(names, tools.KubeControllerManager)
	}
	if opts.Workloads {
		names = append(names, tools.KubeScheduler, tools.Kwok)
	}
	paths, err := tools.EnsureAll(ctx, opts.Progress, names...)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", opts.Name, err)
	}
	c := &Cluster{opts: opts, paths: paths}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, fmt.Errorf("cluster %s: %w", opts.Name, err)
	}
	return c, nil
}

func (o *Options) setDefaults() {
	if o.Name == "" {
		o.Name = "world"
	}
	if o.Nodes == 0 {
		o.Nodes = 2
	}
	o.Controllers = o.Controllers || o.Workloads
}

func (c *Cluster) start(ctx context.Context) error {
	steps := []func(context.Context) error{
		c.makeDir, c.makeKeys, c.startEtcd, c.startControlPlane, c.startWorkloads,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) makeDir(context.Context) (err error) {
	c.dir = c.opts.Dir
	if c.dir == "" {
		c.ownDir = true
		c.dir, err = os.MkdirTemp("", "writ-cluster-"+c.opts.Name+"-")
		return err
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	return os.MkdirAll(c.dir, 0o700)
}

// Name is the name it was started with.
func (c *Cluster) Name() string { return c.opts.Name }

// Dir holds the cluster's logs (<program>.log), keys and kubeconfigs.
func (c *Cluster) Dir() string { return c.dir }

// Server is the API server's URL.
func (c *Cluster) Server() string { return "https://127.0.0.1:" + strconv.Itoa(c.port) }

// CAPEM is the certificate that the API server's own is signed by.
func (c *Cluster) CAPEM() []byte { return c.ca.PEM }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.admin }

// RESTConfig returns a fresh administrator's client configuration, without
// client-side rate limits.
func (c *Cluster) RESTConfig() *rest.Config {
	config, err := LoadKubeconfig(c.admin)
	if err != nil {
		panic(fmt.Sprintf("cluster %s: its own kubeconfig: %v", c.opts.Name, err)) // written by Start
	}
	return config
}

// Err tells in one line which program of the cluster is gone though nobody
// stopped it; nil when all is well.
func (c *Cluster) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range append([]*process.Process{c.etcd, c.apiServer}, c.others...) {
		if p != nil {
			errs = append(errs, p.Failure())
		}
	}
	return errors.Join(errs...)
}

// Stop ends every program and, when the cluster made its own directory,
// removes it. It may be called again.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.stopped = true
	process.Stop(stopWithin, c.others...)
	process.Stop(stopWithin, c.apiServer)
	process.Stop(stopWithin, c.etcd)
	c.others, c.apiServer, c.etcd = nil, nil, nil
	if c.ownDir && c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}
