package stage

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/ca"
	"github.com/writ-dev/writ/internal/world/tools"
)

// TrustDomain of the fleet.
const TrustDomain = "kind.example.org"

const vaultPort = "30820"

// InstallVault puts a Vault into the hub's cluster: TLS by an authority of its own, initialised, unsealed, its plugins
// registered. Its root token stays in the stage's folder.
func (s *Stage) InstallVault(ctx context.Context) error {
	began, hub := time.Now(), s.Clusters[Hub]
	address, err := hub.Address(ctx)
	if err != nil {
		return err
	}
	if s.authority, err = ca.Load(s.Dir, "vault"); err != nil {
		return err
	}
	cert, key, err := s.authority.Server(hub.Node, address)
	if err != nil {
		return err
	}
	manifests := strings.ReplaceAll(string(s.object("vault.yaml")), "IMAGE", "writ-dev/writ-test-vault:"+s.Tag)
	if err := apply.YAML(ctx, hub.Config, []byte(manifests)); err != nil {
		return err
	}
	err = hub.Client.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vault", Name: "vault-tls"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}})
	if err != nil {
		return err
	}
	root, err := s.vaultClient("https://" + address + ":" + vaultPort)
	if err != nil {
		return err
	}
	if err := openVault(ctx, root); err != nil {
		return err
	}
	if err := os.WriteFile(s.file("vault.token"), []byte(root.Token()), 0o600); err != nil {
		return err
	}
	s.Step(began, "Vault installed and open")
	return nil
}

// vaultClient takes nothing from Vault's environment variables.
func (s *Stage) vaultClient(address string) (*api.Client, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.authority.PEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	c, err := api.NewClient(&api.Config{Address: address, HttpClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil, err
	}
	c.ClearNamespace()
	c.SetToken("")
	return c, nil
}

// openVault initialises a new Vault, unseals it, and registers its plugins.
func openVault(ctx context.Context, root *api.Client) error {
	err := Await(ctx, "Vault to answer", 90*time.Second, func(ctx context.Context) error {
		_, err := root.Sys().SealStatusWithContext(ctx)
		return err
	})
	if err != nil {
		return err
	}
	keys, err := root.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return fmt.Errorf("initialise Vault: %w", err)
	}
	if _, err := root.Sys().UnsealWithContext(ctx, keys.KeysB64[0]); err != nil {
		return fmt.Errorf("unseal Vault: %w", err)
	}
	root.SetToken(keys.RootToken)
	err = Await(ctx, "Vault to be active", 30*time.Second, func(ctx context.Context) error {
		health, err := root.Sys().HealthWithContext(ctx)
		if err == nil && (health.Sealed || health.Standby) {
			err = errors.New("it is sealed or standby")
		}
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(registerPlugin(ctx, root, api.PluginTypeSecrets, "kubernetes", tools.VaultKubernetesSecrets),
		registerPlugin(ctx, root, api.PluginTypeCredential, tools.VaultAuth, tools.VaultAuth))
}

// registerPlugin names a program of the image in Vault's catalogue, bound to the digest that it has here, where the image was made.
func registerPlugin(ctx context.Context, root *api.Client, kind api.PluginType, name, tool string) error {
	program, err := tools.Ensure(ctx, os.Stderr, tool)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(raw)
	return root.Sys().RegisterPluginWithContext(ctx, &api.RegisterPluginInput{Type: kind, Name: name,
		Command: filepath.Base(program), SHA256: hex.EncodeToString(digest[:])})
}

// vaultValues are of a spoke that takes its credentials from Vault.
func (s *Stage) vaultValues() string {
	ca := "    " + strings.ReplaceAll(strings.TrimSpace(string(s.authority.PEM)), "\n", "\n    ")
	return fmt.Sprintf("credentials: vault\nvault:\n  address: https://%s:%s\n  ca: |\n%s\n", s.Clusters[Hub].Node, vaultPort, ca)
}

// SetUpVault gives Vault a mount, a policy and a login for a cluster, and a token of its account there.
func (s *Stage) SetUpVault(ctx context.Context, name string) error {
	c := s.Clusters[name]
	address, err := s.Clusters[Hub].Address(ctx)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(s.file("vault.token"))
	if err != nil {
		return err
	}
	authority := s.file("vault.pem")
	if err := os.WriteFile(authority, s.authority.PEM, 0o600); err != nil {
		return err
	}
	_, err = run(ctx, []string{"KUBECONFIG=" + s.Clusters[Hub].Kubeconfig, "VAULT_ADDR=https://" + address + ":" + vaultPort,
		"VAULT_CACERT=" + authority, "VAULT_TOKEN=" + string(token)},
		s.Writ, "vault", "setup", c.Name, "--workload", c.Kubeconfig, "--server", c.Server(), "--vault-address", "https://127.0.0.1:8200", "--vault-server-name", s.Clusters[Hub].Node)
	return err
}
