package cluster

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/writ-dev/writ/internal/world/ca"
)

// serviceCIDR gives the service "kubernetes" the address 10.96.0.1.
const serviceCIDR = "10.96.0.0/16"

// makeKeys loads or makes what identifies the cluster, its authority and the
// key that signs ServiceAccount tokens, and issues new server certificates.
func (c *Cluster) makeKeys(context.Context) (err error) {
	if c.ca, err = ca.Load(c.dir, "cluster "+c.opts.Name); err != nil {
		return err
	}
	signer, err := ca.LoadKey(c.file("service-account.key"))
	if err != nil {
		return err
	}
	if err := writePublic(c.file("service-account.pub"), signer); err != nil {
		return err
	}
	for _, server := range []struct {
		file  string
		hosts []string
	}{
		{"etcd", []string{"127.0.0.1", "localhost"}},
		{"apiserver", []string{
			"127.0.0.1", "localhost", "10.96.0.1",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
	} {
		cert, key, err := c.ca.Server(server.hosts...)
		if err != nil {
			return err
		}
		if err := c.write(server.file+".crt", cert); err != nil {
			return err
		}
		if err := c.write(server.file+".key", key); err != nil {
			return err
		}
	}
	return c.write("authentication.yaml", []byte(authentication))
}

// Authenticate has the API server take, besides its own certificates and tokens, what an AuthenticationConfiguration says: within a
// second, without a restart.
func (c *Cluster) Authenticate(config []byte) error {
	return c.write("authentication.yaml", append(bytes.TrimSuffix(config, []byte("\n")), []byte("\n"+anonymous)...))
}

func (c *Cluster) write(name string, data []byte) error {
	if err := os.WriteFile(c.file(name), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func writePublic(file string, key crypto.Signer) error {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}
