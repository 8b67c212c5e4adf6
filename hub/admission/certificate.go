package admission

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/identity"
)

// life is how long the certificate is good. The API server is told it when the webhook is declared, and trusts it alone.
const life = 5 * 365 * 24 * time.Hour

// Listener is a port on which the API server is answered.
type Listener struct {
	net.Listener
	Certificate *Certificate
}

// Certificate is what the hub shows the API server: signed by itself, for one host, and of no use for anything else.
type Certificate struct {
	pem         []byte
	certificate tls.Certificate
}

// LoadCertificate returns the certificate for a host that lies in files of the names given, and makes it first where there is none,
// where it is for another host, or where it has ended.
func LoadCertificate(keyFile, certFile, host string, now time.Time) (*Certificate, error) {
	key, err := identity.LoadKey(keyFile, identity.GenerateKey)
	if err != nil {
		return nil, fmt.Errorf("admission: %w", err)
	}
	raw, err := os.ReadFile(certFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admission: %w", err)
	}
	if c, err := parse(raw, key, host, now); err == nil {
		return c, nil
	}
	if raw, err = selfSigned(key, host, now); err != nil {
		return nil, fmt.Errorf("admission: %w", err)
	}
	if err := identity.WriteFile(certFile, raw); err != nil {
		return nil, fmt.Errorf("admission: %w", err)
	}
	return parse(raw, key, host, now)
}

func parse(raw []byte, key crypto.Signer, host string, now time.Time) (*Certificate, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := leaf.PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) || now.After(leaf.NotAfter) {
		return nil, errors.New("of another key, or ended")
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return nil, err
	}
	return &Certificate{pem: slices.Clone(raw), certificate: tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key, Leaf: leaf}}, nil
}

func selfSigned(key crypto.Signer, host string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: "writ-hub admission"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(life), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// PEM is what the API server must trust.
func (c *Certificate) PEM() []byte { return slices.Clone(c.pem) }

func (c *Certificate) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.certificate}}
}
