package fleet

import (
	"context"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/credentials/vault"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
)

// localPolicy is what the admins of the workload clusters allow.
const localPolicy = `rules:
  - actions: [rollback, rollout-restart]
    namespaces: [shop]
    maxTier: medium
  - actions: [scale]
    namespaces: [shop]
    maxTier: medium
    maxReplicas: 50
`

// join registers a cluster, installs the spoke's rights in it, and starts the spoke.
func (f *Fleet) join(ctx context.Context, name string) error {
	from := time.Now()
	if _, err := f.Writ(ctx, "cluster", "register", name, "-f", f.file(name+".join")); err != nil {
		return err
	}
	c := f.Clusters[name]
	if err := apply.YAML(ctx, c.RESTConfig(), []byte(workloadManifests)); err != nil {
		return err
	}
	manifests, err := deployspoke.Manifests(deployspoke.Options{Namespaces: []string{Namespace}, Vault: f.Vault != nil})
	if err != nil {
		return err
	}
	if err := apply.YAML(ctx, c.RESTConfig(), manifests); err != nil {
		return err
	}
	kubeconfig, err := c.KubeconfigForServiceAccount(ctx, "writ-system", "writ-spoke", 24*time.Hour)
	if err != nil {
		return err
	}
	credentials := "credentials: tokenrequest\n"
	if f.Vault != nil {
		if err := f.setUpVault(ctx, name); err != nil {
			return err
		}
		credentials = fmt.Sprintf("credentials: vault\nvault: {address: %q, caFile: %q}\n", f.Vault.Address(), f.Vault.CACert())
	}
	if err := os.WriteFile(f.file(name+".policy.yaml"), []byte(localPolicy), 0o600); err != nil {
		return err
	}
	config := fmt.Sprintf("stateDir: %s\njoin: %s\nkubeconfig: %s\nlocalPolicy: %s\n%s", f.file("spoke-"+name), f.file(name+".join"),
		kubeconfig, f.file(name+".policy.yaml"), credentials)
	if err := os.WriteFile(f.file("spoke-"+name+".yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	if err := f.StartSpoke(ctx, name); err != nil {
		return err
	}
	f.Step(from, "cluster %s registered, its spoke enrolled and connected", name)
	return nil
}

// setUpVault gives Vault one mount, one policy and one login for a cluster.
func (f *Fleet) setUpVault(ctx context.Context, name string) error {
	root, err := f.Vault.Client(f.Vault.RootToken())
	if err != nil {
		return err
	}
	token, err := f.Clusters[name].TokenFor(ctx, "writ-system", "writ-vault", 24*time.Hour)
	if err != nil {
		return err
	}
	authorities, err := os.ReadFile(f.file("hub", "ca", "ca.crt"))
	if err != nil {
		return err
	}
	return vault.Setup(ctx, root, vault.SetupOptions{Cluster: name, TrustDomain: TrustDomain, Authorities: authorities,
		KubernetesHost: f.Clusters[name].Server(), KubernetesCA: f.Clusters[name].CAPEM(), ServiceAccountToken: token})
}

func spokeName(cluster string) string { return "writ-spoke-" + cluster }

// StartSpoke starts the spoke of a cluster with its state as it is, and returns once the hub sees it connected.
func (f *Fleet) StartSpoke(ctx context.Context, name string, env ...string) error {
	began := time.Now().Add(-time.Second).Truncate(time.Second)
	p, err := f.run(spokeName(name), []string{"--config", f.file("spoke-" + name + ".yaml")}, append(f.Spoke, env...))
	if err != nil {
		return err
	}
	return p.Await(ctx, startWithin, "the hub does not see cluster "+name+" connected", func(ctx context.Context) error {
		var object v1alpha1.Cluster
		if err := f.Client.Get(ctx, client.ObjectKey{Name: name}, &object); err != nil {
			return err
		}
		if !object.Status.Connected || object.Status.LastContact == nil || object.Status.LastContact.Time.Before(began) {
			return fmt.Errorf("cluster %s: %s", name, object.Status.Phase)
		}
		return nil
	})
}

// KillSpoke ends a spoke as kill -9 does.
func (f *Fleet) KillSpoke(name string) { f.Process(spokeName(name)).Kill() }
