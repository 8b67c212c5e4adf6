// Package vault starts a real Vault server: raft storage, TLS that ends at
// Vault, an explicit unseal, and external plugins.
//
// It is a part of the test world, so its one unseal key and its root token
// are kept in memory and in files of mode 0600, but never printed, logged or
// put on a command line. The server and its plugins end with this process.
package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/internal/world/ca"
	"github.com/writ-dev/writ/internal/world/process"
	"github.com/writ-dev/writ/internal/world/tools"
)

// Options says how to start; the zero value is a new Vault in a temporary
// directory.
type Options struct {
	// Dir holds the data, keys, logs and plugins, and is made with mode 0700.
	// A Dir that an earlier server left is unsealed again. "" is a temporary
	// directory that Stop removes.
	Dir string

	Port     int       // 0 is a free one
	Progress io.Writer // hears of compiling; nil is silence
}

// KubernetesPlugin is the name of the Kubernetes secrets engine in the plugin
// catalogue; every server starts with it registered.
const KubernetesPlugin = "kubernetes"

// AuthPlugin is the name of Writ's own auth method there; it is compiled from this source tree.
const AuthPlugin = tools.VaultAuth

const (
	readyWithin = 30 * time.Second
	stopWithin  = 5 * time.Second
	readyPoll   = 50 * time.Millisecond
)

// Server is one running Vault.
type Server struct {
	dir    string
	ownDir bool
	port   int
	bin    string
	plugin string
	auth   string
	keys   keys
	admin  *api.Client

	mu   sync.Mutex
	proc *process.Process
}

// Start brings a server up: initialized, unsealed, its plugins registered.
func Start(ctx context.Context, opts Options) (*Server, error) {
	paths, err := tools.EnsureAll(ctx, opts.Progress, tools.Vault, tools.VaultKubernetesSecrets)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	auth, err := tools.Own(ctx, opts.Progress, AuthPlugin)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	s := &Server{bin: paths[tools.Vault], plugin: paths[tools.VaultKubernetesSecrets], auth: auth, port: opts.Port}
	if err := s.start(ctx, opts); err != nil {
		s.Stop()
		return nil, fmt.Errorf("vault: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, opts Options) error {
	if err := s.makeDir(opts.Dir); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	if err := s.initialize(ctx); err != nil {
		return err
	}
	if err := s.Unseal(ctx); err != nil {
		return err
	}
	if err := s.RegisterPlugin(ctx, api.PluginTypeCredential, AuthPlugin, s.auth); err != nil {
		return err
	}
	return s.RegisterPlugin(ctx, api.PluginTypeSecrets, KubernetesPlugin, s.plugin)
}

func (s *Server) makeDir(dir string) (err error) {
	if dir == "" {
		s.ownDir = true
		s.dir, err = os.MkdirTemp("", "writ-vault-")
	} else {
		s.dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(s.file("plugins"), 0o700), os.MkdirAll(s.file("data"), 0o700))
}

const configuration = `
storage "raft" {
  path                   = %q
  node_id                = "vault"
  performance_multiplier = 1
}
listener "tcp" {
  address         = %q
  cluster_address = %q
  tls_cert_file   = %q
  tls_key_file    = %q
}
api_addr         = %q
cluster_addr     = %q
plugin_directory = %q
disable_mlock    = true
log_level        = "warn"
`

// configure writes the server's certificate and its configuration.
func (s *Server) configure() error {
	authority, err := ca.Load(s.dir, "vault")
	if err != nil {
		return err
	}
	cert, key, err := authority.Server("127.0.0.1", "localhost", "vault")
	if err != nil {
		return err
	}
	if s.port == 0 {
		if s.port, err = process.FreePort(); err != nil {
			return err
		}
	}
	peerPort, err := process.FreePort() // raft wants one, though it has no peers
	if err != nil {
		return err
	}
	config := fmt.Sprintf(configuration, s.file("data"), process.Loopback(s.port), process.Loopback(peerPort),
		s.file("server.crt"), s.file("server.key"), s.Address(), "https://"+process.Loopback(peerPort), s.file("plugins"))
	return errors.Join(
		s.write("server.crt", cert),
		s.write("server.key", key),
		s.write("vault.hcl", []byte(config)),
	)
}

// launch starts the process and returns when it answers, sealed or not.
func (s *Server) launch(ctx context.Context) error {
	if err := process.CheckPort(s.port); err != nil {
		return err
	}
	p, err := process.Start(process.Spec{
		Name:     "vault",
		Path:     s.bin,
		Args:     []string{"server", "-config=" + s.file("vault.hcl")},
		Dir:      s.dir,
		Log:      process.LogFile(s.dir, "vault"),
		Children: true, // plugins
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	if s.admin, err = s.Client(""); err != nil {
		return err
	}
	return p.Await(ctx, readyWithin, "vault does not answer", func(ctx context.Context) error {
		_, err := s.admin.Sys().SealStatusWithContext(ctx)
		return err
	})
}

// Address is the server's URL.
func (s *Server) Address() string { return "https://127.0.0.1:" + strconv.Itoa(s.port) }

// CACert is the path of the certificate that the server's own is signed by.
func (s *Server) CACert() string { return s.file("ca.crt") }

// Dir holds the server's log, vault.log, and its files.
func (s *Server) Dir() string { return s.dir }

// RootToken is for code that sets Vault up. Never log it.
func (s *Server) RootToken() string { return s.keys.Root }

// Client returns a client of this server with the given token. It takes
// nothing from Vault's environment variables.
func (s *Server) Client(token string) (*api.Client, error) {
	authority, err := os.ReadFile(s.CACert())
	if err != nil {
		return nil, fmt.Errorf("vault client: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	client, err := api.NewClient(&api.Config{Address: s.Address(), HttpClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil, fmt.Errorf("vault client: %w", err)
	}
	client.ClearNamespace()
	client.SetToken(token)
	return client, nil
}

// Stop ends the server and its plugins and, when it made its own directory,
// removes it. It may be called again.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	process.Stop(stopWithin, s.proc)
	s.proc = nil
	if s.ownDir && s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name string, data []byte) error {
	if err := os.WriteFile(s.file(name), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
