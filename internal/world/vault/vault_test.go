package vault_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestSealedVaultGivesNothingAway(t *testing.T) {
	s := own(t, vault.Options{})
	admin := client(t, s)
	if err := admin.Sys().Mount("kv", &api.MountInput{Type: "kv"}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Logical().WriteWithContext(t.Context(), "kv/x", map[string]any{"v": "1"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Logical().ReadWithContext(t.Context(), "kv/x"); err == nil {
		t.Fatal("a sealed vault answered")
	}
	if err := s.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if secret, err := admin.Logical().ReadWithContext(t.Context(), "kv/x"); err != nil || secret.Data["v"] != "1" {
		t.Fatalf("after unsealing: %v, %v", secret, err)
	}
}

func TestADirectoryIsTheSameVaultAgain(t *testing.T) {
	dir := t.TempDir()
	var tokens []string
	for range 2 {
		s := own(t, vault.Options{Dir: dir})
		if _, err := client(t, s).Auth().Token().LookupSelfWithContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, s.RootToken())
		s.Stop()
	}
	if tokens[0] != tokens[1] {
		t.Error("the second start has another root token")
	}
}

func TestTheRootTokenStaysInOneFile(t *testing.T) {
	s := worldtest.Vault(t)
	token := []byte(s.RootToken())
	err := filepath.WalkDir(s.Dir(), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if bytes.Contains(data, token) && (entry.Name() != "keys.json" || info.Mode().Perm() != 0o600) {
			t.Errorf("%s holds the root token, mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if line, _ := os.ReadFile(file); bytes.Contains(line, token) {
			t.Errorf("%s holds the root token", file)
		}
	}
}

func TestTLSEndsAtVault(t *testing.T) {
	s := worldtest.Vault(t)
	strict := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}
	if _, err := strict.Get(s.Address() + "/v1/sys/health"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a client without vault's authority: %v", err)
	}
}

func TestUnknownTokensAreRefused(t *testing.T) {
	s := worldtest.Vault(t)
	stranger, err := s.Client("hvs.nobody")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Sys().ListMountsWithContext(t.Context()); err == nil {
		t.Error("a stranger listed the mounts")
	}
}

// own starts a server for one test alone.
func own(t *testing.T, opts vault.Options) *vault.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real servers; run without -short")
	}
	opts.Progress = os.Stderr
	s, err := vault.Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func client(t *testing.T, s *vault.Server) *api.Client {
	t.Helper()
	c, err := s.Client(s.RootToken())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
