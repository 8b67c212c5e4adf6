package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/vault/api"
)

// RegisterPlugin copies the program into Vault's plugin directory and names
// it in the catalogue, bound to its digest: Vault runs these bytes or none.
func (s *Server) RegisterPlugin(ctx context.Context, kind api.PluginType, name, program string) error {
	command := filepath.Base(program)
	digest, err := install(program, filepath.Join(s.dir, "plugins", command))
	if err != nil {
		return fmt.Errorf("plugin %s: %w", name, err)
	}
	err = s.admin.Sys().RegisterPluginWithContext(ctx, &api.RegisterPluginInput{
		Type:    kind,
		Name:    name,
		Command: command,
		SHA256:  digest,
	})
	if err != nil {
		return fmt.Errorf("plugin %s: %w", name, err)
	}
	return nil
}

// install puts a copy in place in one step and returns its SHA-256.
func install(from, to string) (digest string, err error) {
	source, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer source.Close()
	partial := to + ".partial"
	target, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o700)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(target, hash), source)
	if closeErr := target.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), os.Rename(partial, to)
}
