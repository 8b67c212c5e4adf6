// Package fleet runs a whole Writ on loopback: a hub on a real API server, spokes on real workload clusters, each a process
// of its own, and a real Vault where asked. The demo, the end-to-end tests and the benchmarks share it.
//
// It does what a fleet operator would do, with the same commands, and leaves nothing running behind.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/process"
	"github.com/writ-dev/writ/internal/world/vault"
)

// TrustDomain of every fleet of this package.
const TrustDomain = "demo.writ.dev"

// AgentClass is the one agent class, which follows the playbook.
const AgentClass = "healer"

// Namespace is where the workloads are that Writ may act on.
const Namespace = "shop"

// Options says what to start.
type Options struct {
	Dir string // kept; made with mode 0700
	Bin string // folder of writ, writ-hub and writ-spoke
	// Clusters are the names of the workload clusters.
	Clusters []string
	// Bare has the workload clusters be API servers alone, without controllers and pods, for benchmarks of Writ itself.
	Bare bool
	// Vault has Vault issue the credentials; else the spokes' own API servers do.
	Vault bool
	// OIDC, with Vault, has it vouch for actions: it is told of no API server of a workload cluster.
	OIDC bool
	// Transit has Vault sign as the gateway; else the hub has the key in a file.
	Transit bool
	// PKI has Vault keep the key of the hub's CA; else the hub has it in a file.
	PKI bool
	// Fsync has etcd sync as in production, for benchmarks.
	Fsync bool
	// Hub and Spoke are variables for the environment of the programs, such as where to export traces.
	Hub, Spoke []string
	// CLI are such variables for writ, which may change as the fleet runs.
	CLI []string
	// Audited has the API servers write down who did what, see Requests.
	Audited bool
	// PerMinute is the hub's rate limit, and Queue how many bundles may wait for a cluster; 0 is its default.
	PerMinute, Queue int
	// Hardware are the public keys of approvers who hold the private ones in hardware; the others get files.
	Hardware map[string]ssh.PublicKey
	Progress io.Writer // hears of compiling; nil is silence
	// Step is told of each thing done, and since when; nil is nobody.
	Step func(since time.Time, format string, args ...any)
}

// Fleet is what runs.
type Fleet struct {
	Options
	Hub      *cluster.Cluster
	Clusters map[string]*cluster.Cluster
	Vault    *vault.Server // nil without

	// Client is the administrator's client of the hub's API server.
	Client client.WithWatch

	mu        sync.Mutex // guards processes and health
	processes map[string]*process.Process
	health    map[string]string // host:port, by name
	enrol     string
	connect   string
}

// Start brings everything up: clusters, Vault, hub, spokes; registered, enrolled and connected.
func Start(ctx context.Context, o Options) (f *Fleet, err error) {
	if o.Step == nil {
		o.Step = func(time.Time, string, ...any) {}
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	f = &Fleet{Options: o, Clusters: map[string]*cluster.Cluster{}, processes: map[string]*process.Process{},
		health: map[string]string{}}
	defer func() {
		if err != nil {
			f.Stop()
		}
	}()
	if err := f.startWorld(ctx); err != nil {
		return f, err
	}
	if err := f.prepareHub(ctx); err != nil {
		return f, err
	}
	from := time.Now()
	if err := f.StartHub(ctx); err != nil {
		return f, err
	}
	o.Step(from, "hub runs, its audit log begins")
	if f.Transit {
		if _, err := f.WritVault(ctx, "vault", "gateway"); err != nil {
			return f, err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, name := range o.Clusters {
		group.Go(func() error { return f.join(groupCtx, name) })
	}
	if err := group.Wait(); err != nil {
		return f, err
	}
	return f, nil
}

// startWorld starts the clusters and Vault, all at once.
func (f *Fleet) startWorld(ctx context.Context) error {
	from := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	start := func(name string, o cluster.Options, keep func(*cluster.Cluster)) {
		o.Name, o.Dir, o.Fsync, o.Progress = name, filepath.Join(f.Dir, "cluster-"+name), f.Fsync, f.Progress
		group.Go(func() error {
			c, err := cluster.Start(ctx, o)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				keep(c)
			}
			return err
		})
	}
	audited, err := f.auditArgs()
	if err != nil {
		return err
	}
	start("hub", cluster.Options{APIServerArgs: audited("hub")}, func(c *cluster.Cluster) { f.Hub = c })
	for _, name := range f.Options.Clusters {
		start(name, cluster.Options{Workloads: !f.Bare, APIServerArgs: audited(name)}, func(c *cluster.Cluster) { f.Clusters[name] = c })
	}
	if f.Options.Vault || f.Transit || f.PKI {
		group.Go(func() (err error) {
			server, err := vault.Start(ctx, vault.Options{Dir: filepath.Join(f.Dir, "vault"), Progress: f.Progress})
			mu.Lock()
			defer mu.Unlock()
			f.Vault = server
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	what := fmt.Sprintf("%d API servers run: hub", 1+len(f.Clusters))
	for _, name := range slices.Sorted(maps.Keys(f.Clusters)) {
		what += ", " + name
	}
	if f.Vault != nil {
		what += "; and Vault"
	}
	f.Step(from, "%s", what)
	return nil
}

// prepareHub makes the hub cluster ready for a hub: CRDs, admission policies, an agent class, a policy, people.
func (f *Fleet) prepareHub(ctx context.Context) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	var err error
	if f.Client, err = client.NewWithWatch(f.Hub.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if err := apply.YAML(ctx, f.Hub.RESTConfig(), deployhub.CRDs(), deployhub.Manifests(), deployhub.AgentClass(AgentClass),
		[]byte(hubManifests)); err != nil {
		return err
	}
	if err := f.awaitAdmission(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(f.file("playbooks"), 0o700); err != nil {
		return err
	}
	return os.WriteFile(f.file("playbooks", "rollback.yaml"), []byte(playbook), 0o600)
}

// awaitAdmission waits until the admission policies know the kinds that were defined a moment ago: until then they fail closed.
func (f *Fleet) awaitAdmission(ctx context.Context) error {
	probe := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "probe"}, Spec: v1alpha1.ActionRequestSpec{
		Cluster: "none", Action: "none", Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "none", Name: "none"}}}
	rollout := &v1alpha1.Rollout{ObjectMeta: probe.ObjectMeta, Spec: v1alpha1.RolloutSpec{Pause: "0s", OnFailure: v1alpha1.FailureStop,
		Request: v1alpha1.RequestTemplate{Action: "none", Target: probe.Spec.Target}, Waves: []v1alpha1.Wave{{Canary: new(int32(1))}},
		Selector: v1alpha1.ClusterSelector{Names: []string{"none"}}}}
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startWithin, true, func(ctx context.Context) (bool, error) {
		last = errors.Join(f.Client.Create(ctx, probe.DeepCopy(), client.DryRunAll), f.Client.Create(ctx, rollout.DeepCopy(), client.DryRunAll))
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the hub's admission policies are not in force: %w", last)
	}
	return nil
}

func (f *Fleet) file(path ...string) string {
	return filepath.Join(append([]string{f.Dir}, path...)...)
}

// AuditLog is the folder of the hub's audit log, and AuditKey the file of the key that checks it.
func (f *Fleet) AuditLog() string { return f.file("hub", "audit") }

// AuditKey is the file with the public key of the audit log.
func (f *Fleet) AuditKey() string { return f.file("hub", "audit.vkey") }

// Stop ends everything, spokes first.
func (f *Fleet) Stop() {
	f.mu.Lock()
	children := slices.Collect(maps.Values(f.processes))
	f.mu.Unlock()
	process.Stop(5*time.Second, children...)
	var stopped sync.WaitGroup
	for _, c := range f.Clusters {
		stopped.Go(c.Stop)
	}
	if f.Hub != nil {
		stopped.Go(f.Hub.Stop)
	}
	if f.Vault != nil {
		stopped.Go(f.Vault.Stop)
	}
	stopped.Wait()
}
