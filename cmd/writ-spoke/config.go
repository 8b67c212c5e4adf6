package main

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/spoke/sandbox"
)

// config is what a spoke is told by its cluster's admin; the file is read strictly, once.
type config struct {
	// StateDir holds the identity and the journal. It must survive restarts: a spoke that lost it enrols again.
	StateDir string `json:"stateDir"`
	// Join is the join file of writ cluster register; needed once.
	Join string `json:"join,omitempty"`
	// AccountToken is the file with a token of the spoke's ServiceAccount for the audience writ-enrol, which its cluster keeps fresh;
	// needed with the join file.
	AccountToken string `json:"accountToken,omitempty"`
	// Kubeconfig of the workload cluster; empty inside of it.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// LocalPolicy is what this cluster allows, whatever the hub says. Without it nothing is allowed.
	LocalPolicy string `json:"localPolicy"`
	// Credentials says who issues the credential of an action: tokenrequest, vault, or oidc (Vault vouches for it).
	Credentials string      `json:"credentials"`
	Vault       vaultConfig `json:"vault,omitempty"`
	// Rehearsal says where rehearsals are done: sandbox (Jobs in the namespace writ-sandbox), inProcess (this spoke itself), or auto
	// (Jobs where rehearsalPod says how, and this spoke itself where no pod says anything). Probes are done in Jobs alone.
	Rehearsal    string      `json:"rehearsal,omitempty"`
	RehearsalPod sandbox.Pod `json:"rehearsalPod,omitempty"`
	// Health is where /healthz, /readyz and /metrics are served, to whoever asks; empty: nowhere.
	Health string `json:"health,omitempty"`
}

type vaultConfig struct {
	Address string `json:"address,omitempty"`
	CAFile  string `json:"caFile,omitempty"`
	// Login is what the spoke shows Vault: bundle (each action's bundle, which Vault judges itself) or certificate (its SVID alone, for
	// a Vault without Writ's auth method). Empty is bundle.
	Login string `json:"login,omitempty"`
}

// Who issues.
const (
	byCluster = "tokenrequest"
	byVault   = "vault"
	byOIDC    = "oidc"
)

// What a spoke shows Vault.
const (
	loginBundle      = "bundle"
	loginCertificate = "certificate"
)

// Where rehearsals are done.
const (
	rehearseAuto      = "auto"
	rehearseInProcess = "inProcess"
	rehearseSandbox   = "sandbox"
)

// secondFactor is where the chart mounts what a spoke enrols with besides its join token.
const secondFactor = "/var/run/secrets/writ.dev/enrol/token"

func readConfig(path string) (config, error) {
	c := config{StateDir: "/var/lib/writ-spoke", Credentials: byCluster, Rehearsal: rehearseAuto, AccountToken: secondFactor}
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case c.Credentials != byCluster && c.Credentials != byVault && c.Credentials != byOIDC:
		return c, fmt.Errorf("%s: credentials %q is none of tokenrequest, vault, oidc", path, c.Credentials)
	case c.Credentials != byCluster && c.Vault.Address == "":
		return c, fmt.Errorf("%s: vault.address is not set", path)
	case c.Vault.Login != "" && c.Vault.Login != loginBundle && c.Vault.Login != loginCertificate:
		return c, fmt.Errorf("%s: vault.login %q is neither bundle nor certificate", path, c.Vault.Login)
	case c.Credentials == byOIDC && c.Vault.Login == loginCertificate:
		return c, fmt.Errorf("%s: vault.login certificate: Vault vouches (credentials: oidc) for what it has judged alone", path)
	case c.Rehearsal != rehearseAuto && c.Rehearsal != rehearseInProcess && c.Rehearsal != rehearseSandbox:
		return c, fmt.Errorf("%s: rehearsal %q is none of auto, inProcess, sandbox", path, c.Rehearsal)
	case c.Rehearsal == rehearseSandbox && c.RehearsalPod.Image == "":
		return c, fmt.Errorf("%s: rehearsalPod.image is not set: the image of this spoke", path)
	}
	return c, nil
}

// runsPods reports whether the spoke may have pods run in the sandbox.
func (c config) runsPods() bool {
	return c.Rehearsal != rehearseInProcess && c.RehearsalPod.Image != ""
}

func (c config) dir(name string) string { return filepath.Join(c.StateDir, name) }
