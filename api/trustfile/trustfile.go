// Package trustfile keeps a trust domain's first keys in files: what `writ trust init` makes, and the hub reads its gateway key
// from. Private keys are PKCS #8, mode 0600. Existing files are never overwritten.
package trustfile

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
)

// The files of Init.
const (
	RootFile    = "root.json"
	GatewayFile = "gateway.key"
)

// Life is how long a trust root made by Init is good for.
const Life = 365 * 24 * time.Hour

const keyBlock = "PRIVATE KEY"

// rootKeys is how many root keys Init makes; two of them must sign.
const rootKeys, rootThreshold = 3, 2

// RootKeyFile is the file of the nth root key, from 1.
func RootKeyFile(n int) string { return fmt.Sprintf("root-%d.key", n) }

// Init makes a trust root: three root keys of which two must sign, one gateway key, and root.json, version 1. The root keys are
// for taking away; only gateway.key and root.json belong on the hub. Where any of the files exists, none is written.
func Init(dir string, now time.Time) error {
	names := []string{RootFile, GatewayFile}
	for n := range rootKeys {
		names = append(names, RootKeyFile(n+1))
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists: a trust root is made once; choose another folder", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	draft := trust.Draft{Version: 1, Expires: now.Add(Life), Threshold: map[trust.Role]int{trust.RoleRoot: rootThreshold},
		Keys: map[trust.Role][]ed25519.PublicKey{}}
	var signers []ed25519.PrivateKey
	for n := range rootKeys {
		key, err := writeKey(filepath.Join(dir, RootKeyFile(n+1)))
		if err != nil {
			return err
		}
		signers = append(signers, key)
		draft.Keys[trust.RoleRoot] = append(draft.Keys[trust.RoleRoot], key.Public().(ed25519.PublicKey))
	}
	gateway, err := writeKey(filepath.Join(dir, GatewayFile))
	if err != nil {
		return err
	}
	draft.Keys[trust.RoleGateway] = []ed25519.PublicKey{gateway.Public().(ed25519.PublicKey)}
	raw, err := trust.Sign(draft, signers[:rootThreshold]...)
	if err != nil {
		return err
	}
	return create(filepath.Join(dir, RootFile), raw, 0o644)
}

// LoadSigner reads a private key and finds it in a role of the trust root: a key that no spoke would believe is an error here.
func LoadSigner(path string, root *trust.Root, role trust.Role) (*bundle.Key, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the %s key: %w", role, err)
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != keyBlock {
		return nil, fmt.Errorf("the %s key: %s holds no %s block", role, path, keyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the %s key: %s cannot be read", role, path)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the %s key: %s holds a %T, wanted Ed25519", role, path, parsed)
	}
	keys, err := root.Keys(role)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if private.Public().(ed25519.PublicKey).Equal(key.Public()) {
			id, _ := key.KeyID()
			return bundle.NewSigner(id, private)
		}
	}
	return nil, fmt.Errorf("the %s key: %s is not in version %d of the trust root", role, path, root.Version())
}

func writeKey(path string) (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return private, create(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), 0o600)
}

// create writes a file that must not exist.
func create(path string, content []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}
