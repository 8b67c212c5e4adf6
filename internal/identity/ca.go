package identity

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// Life is how long an SVID lives.
	Life = time.Hour
	// backdate is how far before its issue an SVID begins, for clocks that run behind.
	backdate = time.Minute
	caLife   = 5 * 365 * 24 * time.Hour
)

// CA is the embedded certificate authority of a hub. It is safe for concurrent use.
type CA struct {
	authorities *Authorities
	cert        *x509.Certificate // the one that signs: the first of the authorities
	key         crypto.Signer
}

// LoadCA returns the CA in dir, and makes it first where there is none: ca.key (PKCS #8, mode 0600) and ca.crt, whose first
// certificate signs and whose others, during a rotation, are trusted as well.
func LoadCA(dir string, td spiffeid.TrustDomain, now time.Time) (*CA, error) {
	keyFile, certFile := filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.crt")
	key, err := LoadKey(keyFile, GenerateKey)
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	raw, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = selfSigned(td, key, now); err == nil {
			err = WriteFile(certFile, raw)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	authorities, err := ParseAuthorities(raw)
	if err != nil {
		return nil, fmt.Errorf("CA: %s: %w", certFile, err)
	}
	ca := &CA{authorities: authorities, cert: authorities.certs[0], key: key}
	switch {
	case authorities.domain != td:
		return nil, fmt.Errorf("CA: %s is of the trust domain %s, not %s", certFile, authorities.domain, td)
	case !samePublicKey(key.Public(), ca.cert.PublicKey):
		return nil, fmt.Errorf("CA: %s does not belong to the first certificate of %s", keyFile, certFile)
	case now.After(ca.cert.NotAfter):
		return nil, fmt.Errorf("CA: %s expired at %s", certFile, ca.cert.NotAfter.Format(time.RFC3339))
	}
	return ca, nil
}

// Authorities are what peers must trust.
func (ca *CA) Authorities() *Authorities { return ca.authorities }

// Issue makes an X.509-SVID for a public key: exactly one URI SAN, no CA, digitalSignature, and for the hub its DNS name.
// The chain is DER, leaf first. Identity and key are the caller's word; nothing else enters.
func (ca *CA) Issue(public crypto.PublicKey, id spiffeid.ID, now time.Time, ttl time.Duration) (chain [][]byte, err error) {
	td := ca.authorities.domain
	name, cluster := ClusterName(td, id)
	if !cluster && id != Hub(td) {
		return nil, fmt.Errorf("issue SVID: %s is neither the hub nor a cluster of %s", id, td)
	}
	if !cluster {
		name = "hub"
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name}, // for people, and for Vault, which names its alias after it
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(ttl),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{id.URL()},
	}
	if !cluster {
		template.DNSNames = []string{HubName(td)}
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	der, err := sign(template, ca.cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue SVID for %s: %w", id, err)
	}
	return [][]byte{der}, nil
}

func selfSigned(td spiffeid.TrustDomain, key crypto.Signer, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: "writ " + td.Name()},
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.Add(caLife),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		URIs:                        []*url.URL{td.ID().URL()},
		PermittedURIDomains:         []string{td.Name()},
		PermittedDNSDomains:         []string{HubName(td)},
		PermittedDNSDomainsCritical: true,
	}
	der, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return encodeCertificates([][]byte{der}), nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	return x509.CreateCertificate(rand.Reader, template, parent, public, key)
}

func samePublicKey(a, b crypto.PublicKey) bool {
	x, errX := x509.MarshalPKIXPublicKey(a)
	y, errY := x509.MarshalPKIXPublicKey(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
