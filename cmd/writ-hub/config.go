package main

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
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
	Listen    addresses `json:"listen"`
	Advertise addresses `json:"advertise"`
	// TrustRoot is the file root.json; GatewayKey the private key of its role gateway.
	TrustRoot  string `json:"trustRoot"`
	GatewayKey string `json:"gatewayKey"`
	Limits     limits `json:"limits,omitempty"`
	// Reasoners propose actions, each with the identity of its agent class.
	Reasoners []reasoner `json:"reasoners,omitempty"`
}

type addresses struct {
	Enrol   string `json:"enrol"`
	Connect string `json:"connect"`
}

type limits struct {
	QueuePerCluster uint64 `json:"queuePerCluster,omitempty"`
	PerMinute       int    `json:"perMinute,omitempty"`
}

type reasoner struct {
	AgentClass string `json:"agentClass"`
	// Kubeconfig of the class's own ServiceAccount, which may create action requests and nothing else.
	Kubeconfig string `json:"kubeconfig"`
	// Playbooks is a folder of YAML files.
	Playbooks string `json:"playbooks"`
}

func readConfig(path string) (config, error) {
	c := config{Listen: addresses{Enrol: ":7443", Connect: ":7444"}, DataDir: "/var/lib/writ-hub"}
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	for field, value := range map[string]string{"trustDomain": c.TrustDomain, "trustRoot": c.TrustRoot, "gatewayKey": c.GatewayKey,
		"advertise.enrol": c.Advertise.Enrol, "advertise.connect": c.Advertise.Connect} {
		if value == "" {
			return c, fmt.Errorf("%s: %s is not set", path, field)
		}
	}
	return c, nil
}

func (c config) dir(name string) string { return filepath.Join(c.DataDir, name) }
