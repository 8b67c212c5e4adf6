package main

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// config is what a spoke is told by its cluster's admin; the file is read strictly, once.
type config struct {
	// StateDir holds the identity and the journal. It must survive restarts: a spoke that lost it enrols again.
	StateDir string `json:"stateDir"`
	// Join is the join file of writ cluster register; needed once.
	Join string `json:"join,omitempty"`
	// Kubeconfig of the workload cluster; empty inside of it.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// LocalPolicy is what this cluster allows, whatever the hub says. Without it nothing is allowed.
	LocalPolicy string `json:"localPolicy"`
	// Credentials says who issues the credential of an action: tokenrequest or vault.
	Credentials string      `json:"credentials"`
	Vault       vaultConfig `json:"vault,omitempty"`
}

type vaultConfig struct {
	Address string `json:"address,omitempty"`
	CAFile  string `json:"caFile,omitempty"`
}

func readConfig(path string) (config, error) {
	c := config{StateDir: "/var/lib/writ-spoke", Credentials: "tokenrequest"}
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case c.Credentials != "tokenrequest" && c.Credentials != "vault":
		return c, fmt.Errorf("%s: credentials %q is neither tokenrequest nor vault", path, c.Credentials)
	case c.Credentials == "vault" && c.Vault.Address == "":
		return c, fmt.Errorf("%s: vault.address is not set", path)
	}
	return c, nil
}

func (c config) dir(name string) string { return filepath.Join(c.StateDir, name) }
