package identity

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// SVID is a certificate with its private key, and the ID that it proves. It is immutable.
type SVID struct {
	ID          spiffeid.ID
	certificate tls.Certificate
}

// NewSVID joins a chain (DER, leaf first) and its key. The leaf must have the shape of an X.509-SVID.
func NewSVID(chain [][]byte, key crypto.Signer) (*SVID, error) {
	if len(chain) == 0 {
		return nil, errors.New("SVID: the chain is empty")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("SVID: %w", err)
	}
	id, err := IDOf(leaf)
	if err != nil {
		return nil, fmt.Errorf("SVID: %w", err)
	}
	if !samePublicKey(leaf.PublicKey, key.Public()) {
		return nil, errors.New("SVID: the certificate is for another key")
	}
	return &SVID{ID: id, certificate: tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}}, nil
}

// Leaf is the certificate itself; treat it as read-only.
func (s *SVID) Leaf() *x509.Certificate { return s.certificate.Leaf }

// IDOf returns the ID in a leaf, which must have the shape of X509-SVID §4 and §5.1: exactly one URI SAN, no CA, able to
// sign, unable to sign certificates.
func IDOf(leaf *x509.Certificate) (spiffeid.ID, error) {
	switch {
	case len(leaf.URIs) != 1:
		return spiffeid.ID{}, fmt.Errorf("the certificate has %d URI names instead of one", len(leaf.URIs))
	case leaf.IsCA:
		return spiffeid.ID{}, errors.New("the certificate is a CA")
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return spiffeid.ID{}, errors.New("the certificate may not make signatures")
	case leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return spiffeid.ID{}, errors.New("the certificate may sign certificates")
	}
	return spiffeid.FromURI(leaf.URIs[0])
}

// EnrolmentOf is the enrolment that a leaf was issued for; empty where it names none.
func EnrolmentOf(leaf *x509.Certificate) string { return leaf.Subject.SerialNumber }

// Save writes key and chain as one file, so that they change together.
func (s *SVID) Save(path string) error {
	key, err := encodeKey(s.certificate.PrivateKey.(crypto.Signer))
	if err != nil {
		return err
	}
	return WriteFile(path, append(key, encodeCertificates(s.certificate.Certificate)...))
}

// LoadSVID reads what Save wrote.
func LoadSVID(path string) (*SVID, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var key crypto.Signer
	var chain [][]byte
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case keyBlock:
			if key, err = parseKey(block.Bytes); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		case certBlock:
			chain = append(chain, block.Bytes)
		}
	}
	if key == nil {
		return nil, fmt.Errorf("%s holds no key", path)
	}
	return NewSVID(chain, key)
}
