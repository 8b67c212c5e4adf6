package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/internal/world/process"
)

// startWithin bounds how long a program of ours may take until it is ready.
const startWithin = 60 * time.Second

const hubName = "writ-hub"

// StartHub starts the hub, on the same ports and data as before.
func (f *Fleet) StartHub(ctx context.Context, env ...string) error {
	if f.enrol == "" {
		if err := f.configureHub(ctx); err != nil {
			return err
		}
	}
	p, err := f.run(hubName, []string{"--config", f.file("hub.yaml")}, append(f.Options.Hub, env...))
	if err != nil {
		return err
	}
	return p.Await(ctx, startWithin, "writ-hub does not listen", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.connect)
		if err != nil {
			return err
		}
		_ = conn.Close()
		var info corev1.ConfigMap
		return f.Client.Get(ctx, client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &info)
	})
}

// configureHub makes the trust root with the operator's own command, and writes the hub's configuration.
func (f *Fleet) configureHub(ctx context.Context) error {
	approvers, err := MakeApprovers(f.file("approvers"), f.Hardware)
	if err != nil {
		return err
	}
	keys, flags, err := f.gatewayKey(ctx)
	if err != nil {
		return err
	}
	if _, err := f.Writ(ctx, slices.Concat([]string{"trust", "init", "--dir", f.file("trust")}, approvers, flags)...); err != nil {
		return err
	}
	hub, err := f.Hub.KubeconfigForServiceAccount(ctx, "writ-system", hubName, 24*time.Hour)
	if err != nil {
		return err
	}
	inVault, err := f.authority(ctx)
	if err != nil {
		return err
	}
	keys += inVault
	var admission string
	for _, address := range []*string{&f.enrol, &f.connect, &admission} {
		port, err := process.FreePort()
		if err != nil {
			return err
		}
		*address = process.Loopback(port)
	}
	health, err := f.healthFor(hubName)
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`trustDomain: %s
dataDir: %s
kubeconfig: %s
listen: {enrol: %q, connect: %q, admission: %q, health: %q}
advertise: {enrol: %q, connect: %q, admission: %q}
trustRoot: %s
%s
limits: {perMinute: %d, queuePerCluster: %d}
reasoners:
  - agentClass: %s
    playbooks: %s
`, TrustDomain, f.file("hub"), hub, f.enrol, f.connect, admission, health, f.enrol, f.connect, admission, f.file("trust", "root.json"), keys,
		f.PerMinute, f.Queue, AgentClass, f.file("playbooks"))
	return os.WriteFile(f.file("hub.yaml"), []byte(config), 0o600)
}

// gatewayKey is where the hub has the gateway's key, and what the trust root is made with.
func (f *Fleet) gatewayKey(ctx context.Context) (config string, flags []string, err error) {
	if !f.Transit {
		return "gatewayKey: " + f.file("trust", "gateway.key"), nil, nil
	}
	public := f.file("gateway.pem")
	_, err = f.WritVault(ctx, "vault", "gateway-key", public)
	return "gatewayTransit: transit/writ-gateway", []string{"--gateway-public", public}, err
}

// authority has Vault keep the key of the CA, where asked, and is how the hub reaches what it has in Vault.
func (f *Fleet) authority(ctx context.Context) (config string, err error) {
	if f.PKI {
		if _, err := f.WritVault(ctx, "vault", "authority", "--trust-domain", TrustDomain); err != nil {
			return "", err
		}
		token, err := f.Hub.TokenFor(ctx, "writ-system", hubName, 24*time.Hour, "writ-vault")
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(f.file("vault-token"), []byte(token), 0o600); err != nil {
			return "", err
		}
		config = "\ncaPKI: writ-ca"
	}
	if f.Transit || f.PKI {
		config += fmt.Sprintf("\nvault:\n  address: %q\n  caFile: %q", f.Vault.Address(), f.Vault.CACert())
	}
	if f.PKI {
		config += fmt.Sprintf("\n  tokenFile: %q", f.file("vault-token"))
	}
	return config, nil
}

// healthFor chooses where a program of ours answers for its health.
func (f *Fleet) healthFor(name string) (string, error) {
	port, err := process.FreePort()
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.health[name] = process.Loopback(port)
	return f.health[name], nil
}

// Health is the URL where a program of ours answers for its health, without a path.
func (f *Fleet) Health(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return "http://" + f.health[name]
}

// run starts one of our programs, in the place of the one that ran under the name before.
func (f *Fleet) run(name string, args, env []string) (*process.Process, error) {
	program := name
	if name != hubName {
		program = "writ-spoke"
	}
	p, err := process.Start(process.Spec{Name: name, Path: filepath.Join(f.Bin, program), Args: args, Env: env,
		Log: process.LogFile(f.Dir, name)})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[name] = p
	return p, nil
}

// Process is a program of ours by name: "writ-hub", or "writ-spoke-" and the cluster.
func (f *Fleet) Process(name string) *process.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[name]
}

// LogOf is the file with the log of a program of ours.
func (f *Fleet) LogOf(name string) string { return process.LogFile(f.Dir, name) }

// KillHub ends the hub as kill -9 does.
func (f *Fleet) KillHub() { f.Process(hubName).Kill() }

// Writ runs the CLI against the hub as its administrator, and returns what it printed.
func (f *Fleet) Writ(ctx context.Context, args ...string) (string, error) {
	return f.WritAs(ctx, f.Hub.Kubeconfig(), args...)
}

// WritAs runs the CLI with a kubeconfig.
func (f *Fleet) WritAs(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	return output(f.writ(ctx, kubeconfig, args...))
}

// WritVault runs the CLI as the administrator of Vault too.
func (f *Fleet) WritVault(ctx context.Context, args ...string) (string, error) {
	command := f.writ(ctx, f.Hub.Kubeconfig(), args...)
	command.Env = append(command.Env, "VAULT_ADDR="+f.Vault.Address(), "VAULT_CACERT="+f.Vault.CACert(), "VAULT_TOKEN="+f.Vault.RootToken())
	return output(command)
}

func output(command *exec.Cmd) (string, error) {
	out, err := command.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("writ %s: %w: %s", strings.Join(command.Args[1:], " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func (f *Fleet) writ(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, filepath.Join(f.Bin, "writ"), args...)
	command.Env = slices.Concat(os.Environ(), []string{"KUBECONFIG=" + kubeconfig, "WRIT_AUDIT_LOG=" + f.AuditLog(), "WRIT_AUDIT_KEY=" + f.AuditKey()}, f.CLI)
	return command
}
