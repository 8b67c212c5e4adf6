package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/hashicorp/vault/api"
)

// keys is what Vault tells once, when it is initialized.
type keys struct {
	Unseal string `json:"unseal"`
	Root   string `json:"root"`
}

const keysFile = "keys.json" // mode 0600

// initialize makes a new Vault's keys, or reads those of an earlier start.
func (s *Server) initialize(ctx context.Context) error {
	data, err := os.ReadFile(s.file(keysFile))
	if errors.Is(err, fs.ErrNotExist) {
		var made *api.InitResponse
		if made, err = s.admin.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1}); err != nil {
			return fmt.Errorf("initialize: %w", err)
		}
		if data, err = json.Marshal(keys{Unseal: made.KeysB64[0], Root: made.RootToken}); err == nil {
			err = s.write(keysFile, data)
		}
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := json.Unmarshal(data, &s.keys); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	s.admin.SetToken(s.keys.Root)
	return nil
}

// Seal closes Vault: it answers every request but unsealing with 503.
func (s *Server) Seal(ctx context.Context) error {
	if err := s.admin.Sys().SealWithContext(ctx); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

// Unseal opens Vault, and returns when it serves requests.
func (s *Server) Unseal(ctx context.Context) error {
	if _, err := s.admin.Sys().UnsealWithContext(ctx, s.keys.Unseal); err != nil {
		return fmt.Errorf("unseal: %w", err)
	}
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	if p == nil {
		return errors.New("unseal: vault is stopped")
	}
	return p.Await(ctx, readyWithin, "vault is not active", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		health, err := s.admin.Sys().HealthWithContext(ctx)
		switch {
		case err != nil:
			return err
		case health.Sealed || health.Standby:
			return errors.New("sealed or standby")
		}
		return nil
	})
}
