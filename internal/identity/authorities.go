package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// maxAuthorities bounds how many certificates a set may hold: two during a rotation, and some to spare.
const maxAuthorities = 8

// Authorities is the set of CA certificates that vouch for one trust domain. It is immutable; rotation makes another.
type Authorities struct {
	domain spiffeid.TrustDomain
	certs  []*x509.Certificate
	pool   *x509.CertPool
	pem    []byte
}

// ParseAuthorities reads PEM. Each certificate must be a CA that names the same trust domain in its one URI SAN
// (X509-SVID §5.2).
func ParseAuthorities(raw []byte) (*Authorities, error) {
	a := &Authorities{pool: x509.NewCertPool()}
	for rest := bytes.TrimSpace(raw); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("authorities: not a list of PEM certificates")
		}
		if len(a.certs) == maxAuthorities {
			return nil, fmt.Errorf("authorities: more than %d certificates", maxAuthorities)
		}
		if err := a.add(block.Bytes); err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
	}
	if len(a.certs) == 0 {
		return nil, errors.New("authorities: no certificate")
	}
	return a, nil
}

func (a *Authorities) add(der []byte) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if !cert.BasicConstraintsValid || !cert.IsCA || len(cert.URIs) != 1 {
		return errors.New("a certificate is not a CA of a SPIFFE trust domain")
	}
	id, err := spiffeid.FromURI(cert.URIs[0])
	if err != nil {
		return err
	}
	if id.Path() != "" || len(a.certs) > 0 && id.TrustDomain() != a.domain {
		return fmt.Errorf("the certificate of %s does not stand for one and the same trust domain", id)
	}
	a.domain = id.TrustDomain()
	a.certs = append(a.certs, cert)
	a.pool.AddCert(cert)
	a.pem = append(a.pem, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return nil
}

// TrustDomain is what the authorities vouch for.
func (a *Authorities) TrustDomain() spiffeid.TrustDomain { return a.domain }

// Has reports whether a certificate is one of them.
func (a *Authorities) Has(cert *x509.Certificate) bool {
	return slices.ContainsFunc(a.certs, cert.Equal)
}

// Signs reports whether a certificate is the one that signs: the first.
func (a *Authorities) Signs(cert *x509.Certificate) bool { return a.certs[0].Equal(cert) }

// Expires is when the first of the certificates ends.
func (a *Authorities) Expires() time.Time {
	first := a.certs[0].NotAfter
	for _, cert := range a.certs[1:] {
		if cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	return first
}

// PEM is the set as ParseAuthorities reads it. The caller owns the bytes.
func (a *Authorities) PEM() []byte { return bytes.Clone(a.pem) }

// Digest names the set: "sha256:" and the hex digest of its PEM.
func (a *Authorities) Digest() string {
	sum := sha256.Sum256(a.pem)
	return "sha256:" + hex.EncodeToString(sum[:])
}
