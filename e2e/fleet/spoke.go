package fleet

import (
	"context"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/world/process"
)

// Actions are what the workload clusters of a fleet have identities for.
var Actions = []string{"scale", "rollout-restart", "rollback"}

// localPolicy is what the admins of the workload clusters allow.
const localPolicy = `rules:
  - actions: [rollback, rollout-restart]
    namespaces: [shop]
    maxTier: medium
  - actions: [scale]
    namespaces: [shop]
    maxTier: high
    maxReplicas: 50
`

// join registers a cluster, installs the spoke's rights in it, and starts the spoke.
func (f *Fleet) join(ctx context.Context, name string) error {
	from := time.Now()
	c := f.Clusters[name]
	if _, err := f.Writ(ctx, "cluster", "register", name, "--workload", c.Kubeconfig(), "--print", "-f", f.JoinFile(name)); err != nil {
		return err
	}
	if err := apply.YAML(ctx, c.RESTConfig(), []byte(workloadManifests)); err != nil {
		return err
	}
	manifests, err := deployspoke.Manifests(deployspoke.Options{Namespaces: []string{Namespace}, Actions: Actions, Vault: f.Options.Vault && !f.OIDC, OIDC: f.OIDC})
	if err != nil {
		return err
	}
	if err := apply.YAML(ctx, c.RESTConfig(), manifests); err != nil {
		return err
	}
	if err := f.Configure(ctx, name); err != nil {
		return err
	}
	if err := f.StartSpoke(ctx, name); err != nil {
		return err
	}
	f.Step(from, "cluster %s registered, its spoke enrolled and connected", name)
	return nil
}

// JoinFile is where the spoke of a cluster looks for its join file.
func (f *Fleet) JoinFile(name string) string { return f.file(name + ".join") }

// StateDir is where the spoke of a cluster keeps its identity and its journal.
func (f *Fleet) StateDir(name string) string { return f.file("spoke-" + name) }

// Configure writes what the spoke of a cluster is started with; its manifests must have been applied there.
func (f *Fleet) Configure(ctx context.Context, name string) error {
	c := f.Clusters[name]
	kubeconfig, err := c.KubeconfigForServiceAccount(ctx, "writ-system", "writ-spoke", 24*time.Hour)
	if err != nil {
		return err
	}
	credentials := "credentials: tokenrequest\n"
	if f.Options.Vault {
		issuer := "vault"
		if f.OIDC {
			issuer = "oidc"
			err = f.vouch(ctx, name)
		} else {
			_, err = f.WritVault(ctx, "vault", "setup", name, "--workload", c.Kubeconfig())
		}
		if err != nil {
			return err
		}
		credentials = fmt.Sprintf("credentials: %s\nvault: {address: %q, caFile: %q}\n", issuer, f.Vault.Address(), f.Vault.CACert())
	}
	if err := os.WriteFile(f.file(name+".policy.yaml"), []byte(localPolicy), 0o600); err != nil {
		return err
	}
	health, err := f.healthFor(spokeName(name))
	if err != nil {
		return err
	}
	if err := f.GiveAccountToken(ctx, name); err != nil {
		return err
	}
	config := fmt.Sprintf("stateDir: %s\njoin: %s\naccountToken: %s\nkubeconfig: %s\nlocalPolicy: %s\nhealth: %q\n%s", f.StateDir(name), f.JoinFile(name),
		f.file(name+".token"), kubeconfig, f.file(name+".policy.yaml"), health, credentials)
	return os.WriteFile(f.file("spoke-"+name+".yaml"), []byte(config), 0o600)
}

// vouch has Vault vouch for the actions of a cluster, and the cluster's API server take its word.
func (f *Fleet) vouch(ctx context.Context, name string) error {
	c := f.Clusters[name]
	if _, err := f.WritVault(ctx, "vault", "setup", name, "--workload", c.Kubeconfig(), "--oidc"); err != nil {
		return err
	}
	config, err := f.WritVault(ctx, "vault", "authentication", name)
	if err != nil {
		return err
	}
	return c.Authenticate([]byte(config))
}

// GiveAccountToken does for a spoke what the kubelet does for a pod: it gives it a fresh token of its ServiceAccount, for enrolling.
func (f *Fleet) GiveAccountToken(ctx context.Context, name string) error {
	token, err := f.Clusters[name].TokenFor(ctx, deployspoke.SystemNamespace, deployspoke.SpokeAccount, 10*time.Minute, identity.EnrolAudience)
	if err != nil {
		return err
	}
	return os.WriteFile(f.file(name+".token"), []byte(token), 0o600)
}

func spokeName(cluster string) string { return "writ-spoke-" + cluster }

// StartSpoke starts the spoke of a cluster with its state as it is, and returns once the hub sees it connected.
func (f *Fleet) StartSpoke(ctx context.Context, name string, env ...string) error {
	began := time.Now().Add(-time.Second).Truncate(time.Second)
	p, err := f.LaunchSpoke(name, env...)
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

// LaunchSpoke is StartSpoke without waiting.
func (f *Fleet) LaunchSpoke(name string, env ...string) (*process.Process, error) {
	return f.run(spokeName(name), []string{"--config", f.file("spoke-" + name + ".yaml")}, append(f.Spoke, env...))
}

// KillSpoke ends a spoke as kill -9 does.
func (f *Fleet) KillSpoke(name string) { f.Process(spokeName(name)).Kill() }
