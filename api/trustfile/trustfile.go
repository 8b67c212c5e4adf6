// Package trustfile keeps a trust domain's first keys in files: what `writ trust init` makes, and the hub reads its gateway key
// from. Private keys are PKCS #8, mode 0600. Existing files are never overwritten.
package trustfile

import (
	"bytes"
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

const keyBlock, publicBlock = "PRIVATE KEY", "PUBLIC KEY"

// rootKeys is how many root keys Init makes; two of them must sign.
const rootKeys, rootThreshold = 3, 2

// RootKeyFile is the file of the nth root key, from 1.
func RootKeyFile(n int) string { return fmt.Sprintf("root-%d.key", n) }

// Approvers are who may sign orders of tier high, and how many of them must.
type Approvers struct {
	People    []trust.Approver
	Threshold int
}

// Init makes a trust root: three root keys of which two must sign, one gateway key, and root.json, version 1, which names the
// approvers. The root keys are for taking away; only gateway.key and root.json belong on the hub. Where the gateway's key is
// elsewhere, gateway is its public half, and no gateway.key is made; else it is nil. Where any of the files exists, none is written.
func Init(dir string, approvers Approvers, gateway ed25519.PublicKey, now time.Time) error {
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
	draft := trust.Draft{Version: 1, Expires: now.Add(Life), Keys: map[trust.Role][]ed25519.PublicKey{},
		Approvers: approvers.People, Threshold: map[trust.Role]int{trust.RoleRoot: rootThreshold, trust.RoleApprovers: approvers.Threshold}}
	var signers []ed25519.PrivateKey
	for n := range rootKeys {
		key, err := writeKey(filepath.Join(dir, RootKeyFile(n+1)))
		if err != nil {
			return err
		}
		signers = append(signers, key)
		draft.Keys[trust.RoleRoot] = append(draft.Keys[trust.RoleRoot], key.Public().(ed25519.PublicKey))
	}
	if gateway == nil {
		key, err := writeKey(filepath.Join(dir, GatewayFile))
		if err != nil {
			return err
		}
		gateway = key.Public().(ed25519.PublicKey)
	}
	draft.Keys[trust.RoleGateway] = []ed25519.PublicKey{gateway}
	raw, err := trust.Sign(draft, signers[:rootThreshold]...)
	if err != nil {
		return err
	}
	return create(filepath.Join(dir, RootFile), raw, 0o644)
}

// LoadSigner reads a private key and finds it in a role of the trust root: a key that no spoke would believe is an error here.
func LoadSigner(path string, root *trust.Root, role trust.Role) (*bundle.Key, error) {
	privates, err := LoadKeys(path)
	if err != nil {
		return nil, fmt.Errorf("the %s key: %w", role, err)
	}
	keys, err := root.Keys(role)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		for _, private := range privates {
			if private.Public().(ed25519.PublicKey).Equal(key.Public()) {
				id, _ := key.KeyID()
				return bundle.NewSigner(id, private)
			}
		}
	}
	return nil, fmt.Errorf("the %s key: %s is not in version %d of the trust root", role, path, root.Version())
}

// maxKeys is how many private keys a file may hold: while one is replaced there are two.
const maxKeys = 8

// LoadKeys reads all private keys of a file. An error never says what the file holds.
func LoadKeys(path string) ([]ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys []ed25519.PrivateKey
	for rest := bytes.TrimSpace(raw); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != keyBlock || len(keys) == maxKeys {
			return nil, fmt.Errorf("%s holds no %s block, or something beside it", path, keyBlock)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read", path)
		}
		private, ok := parsed.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s holds a %T, wanted Ed25519", path, parsed)
		}
		keys = append(keys, private)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no %s block", path, keyBlock)
	}
	return keys, nil
}

// ReadPublic reads one public key, as RFC 7468 has it.
func ReadPublic(path string) (ed25519.PublicKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != publicBlock || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s holds no %s block, or something beside it", path, publicBlock)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T, wanted Ed25519", path, parsed)
	}
	return public, nil
}

// WritePublic writes a public key to a file that must not exist.
func WritePublic(path string, public ed25519.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	return create(path, pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), 0o644)
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

// RotateKey writes a new private key to a file that must not exist, with those of the old file after it, unless that is empty: the
// content for the hub's file while both are in use. It returns the new public key.
func RotateKey(newFile, oldFile string) (ed25519.PublicKey, error) {
	var keys []ed25519.PrivateKey
	if oldFile != "" {
		old, err := LoadKeys(oldFile)
		if err != nil {
			return nil, err
		}
		keys = old[:1] // one that was replaced before has served
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var raw []byte
	for _, key := range append([]ed25519.PrivateKey{private}, keys...) {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		raw = append(raw, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})...)
	}
	return public, create(newFile, raw, 0o600)
}
