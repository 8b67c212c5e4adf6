package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// What an SVID may live. A shorter one would be renewed as soon as it is issued, a longer one is as good as a password.
const (
	leastSVIDLife = 2 * time.Minute
	mostSVIDLife  = 24 * time.Hour
)

// config is what a hub is told; the file is read strictly, once.
type config struct {
	// TrustDomain is the name that all identities of this fleet begin with.
	TrustDomain string `json:"trustDomain"`
	// DataDir holds the store, the audit log and the CA. One hub at a time may use it.
	DataDir string `json:"dataDir"`
	// Kubeconfig of the hub's own cluster; empty inside of it.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Listen is where spokes are served; Advertise is how they reach it.
	Listen    listeners `json:"listen"`
	Advertise addresses `json:"advertise"`
	// TrustRoot is the file root.json.
	TrustRoot string `json:"trustRoot"`
	// GatewayKey is the file with the private key of its role gateway. Or GatewayTransit is that key in Vault's Transit engine,
	// MOUNT/NAME: Vault signs, and the key never leaves it.
	GatewayKey     string `json:"gatewayKey,omitempty"`
	GatewayTransit string `json:"gatewayTransit,omitempty"`
	// CAPKI is the mount of Vault's PKI engine, as "writ-ca", where the key of the CA is: Vault signs SVIDs, and the key never leaves it.
	// Empty: that key is in DataDir.
	CAPKI  string      `json:"caPKI,omitempty"`
	Vault  vaultConfig `json:"vault,omitzero"`
	Limits limits      `json:"limits,omitempty"`
	// SVIDLife is how long the identity of a spoke lives, as "1h"; it is renewed at half of it. From 2 minutes to 24 hours.
	SVIDLife metav1.Duration `json:"svidLife,omitzero"`
	// Reasoners propose actions, each with the identity of its agent class.
	Reasoners []reasoner `json:"reasoners,omitempty"`
	// Approvals says who is told of what waits for approval.
	Approvals approvals `json:"approvals,omitzero"`
}

type addresses struct {
	Enrol   string `json:"enrol"`
	Connect string `json:"connect"`
	// Admission is where the hub's API server asks about policies that are written; empty: nowhere.
	Admission string `json:"admission,omitempty"`
}

type listeners struct {
	addresses
	// Health is where /healthz, /readyz and /metrics are served, to whoever asks; empty: nowhere.
	Health string `json:"health,omitempty"`
}

type limits struct {
	QueuePerCluster uint64 `json:"queuePerCluster,omitempty"`
	PerMinute       int    `json:"perMinute,omitempty"`
	// RelaxedFor is how long what an agent relaxed stays so, as "1h": from a minute to a week.
	RelaxedFor metav1.Duration `json:"relaxedFor,omitzero"`
	// NodesOutPercent is how large a share of a cluster's nodes agents may have out of use at once.
	NodesOutPercent int `json:"nodesOutPercent,omitempty"`
}

// The bounds of limits.relaxedFor.
const (
	leastRelaxed = time.Minute
	mostRelaxed  = 7 * 24 * time.Hour
)

func (l limits) check() error {
	if relaxed := l.RelaxedFor.Duration; relaxed != 0 && (relaxed < leastRelaxed || relaxed > mostRelaxed) {
		return fmt.Errorf("relaxedFor is %s: it must be from %s to %s", relaxed, leastRelaxed, mostRelaxed)
	}
	if l.NodesOutPercent < 0 || l.NodesOutPercent > 100 {
		return fmt.Errorf("nodesOutPercent is %d: it must be from 1 to 100", l.NodesOutPercent)
	}
	return nil
}

type reasoner struct {
	AgentClass string `json:"agentClass"`
	// Kubeconfig of the class's own ServiceAccount, which may create action requests and nothing else. Empty: the hub asks its
	// API server for short-lived tokens of that account.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Playbooks is a folder of YAML files.
	Playbooks string `json:"playbooks"`
}

func readConfig(path string) (config, error) {
	c := config{Listen: listeners{addresses: addresses{Enrol: ":7443", Connect: ":7444"}}, DataDir: "/var/lib/writ-hub"}
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	if life := c.SVIDLife.Duration; life != 0 && (life < leastSVIDLife || life > mostSVIDLife) {
		return c, fmt.Errorf("%s: svidLife is %s: it must be from %s to %s", path, life, leastSVIDLife, mostSVIDLife)
	}
	if err := c.Limits.check(); err != nil {
		return c, fmt.Errorf("%s: limits.%w", path, err)
	}
	if err := c.Approvals.check(); err != nil {
		return c, fmt.Errorf("%s: approvals: %w", path, err)
	}
	for field, value := range map[string]string{"trustDomain": c.TrustDomain, "trustRoot": c.TrustRoot,
		"advertise.enrol": c.Advertise.Enrol, "advertise.connect": c.Advertise.Connect} {
		if value == "" {
			return c, fmt.Errorf("%s: %s is not set", path, field)
		}
	}
	for _, check := range []func() error{c.checkGateway, c.checkVault} {
		if err := check(); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	if (c.Listen.Admission == "") != (c.Advertise.Admission == "") {
		return c, fmt.Errorf("%s: listen.admission and advertise.admission go together", path)
	}
	return c, nil
}

func (c config) dir(name string) string { return filepath.Join(c.DataDir, name) }
