package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// maxRequest bounds a signing request in bytes, before it is parsed.
const maxRequest = 4 << 10

// EnrolAudience is what the second factor of an enrolment is for: a token of the spoke's ServiceAccount for this audience alone.
const EnrolAudience = "writ-enrol"

// SpokeSubject is who the spoke is in its own cluster, whatever the cluster is called.
const SpokeSubject = "system:serviceaccount:writ-system:writ-spoke"

// Subject is the user name of a ServiceAccount.
func Subject(namespace, name string) string { return "system:serviceaccount:" + namespace + ":" + name }

// Request makes a PKCS #10 signing request that carries a public key, the proof that its owner has the private one, and
// nothing else.
func Request(key crypto.Signer) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("signing request: %w", err)
	}
	return csr, nil
}

// Requested is a public key whose owner has shown, by a signing request, to have the private one.
type Requested struct {
	Key crypto.PublicKey
	csr []byte // PKCS #10, DER
}

// ReadRequest checks a request's own signature and returns its public key. Names, extensions and attributes of the request are
// not looked at: an identity comes from the issuer's record.
func ReadRequest(csr []byte) (*Requested, error) {
	if len(csr) > maxRequest {
		return nil, fmt.Errorf("a signing request of %d bytes, at most %d are allowed", len(csr), maxRequest)
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, errors.New("the signing request is not PKCS #10 in DER")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, errors.New("the signing request is not signed by the key in it")
	}
	switch key := request.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return &Requested{key, csr}, nil
		}
	case ed25519.PublicKey:
		return &Requested{key, csr}, nil
	}
	return nil, errors.New("the key must be ECDSA on P-256 or P-384, or Ed25519")
}

// ReturnProof is what a cluster whose SVID ran out signs with its receipt key to get another: the purpose, the cluster, the
// time in seconds and the digest of the signing request.
func ReturnProof(cluster string, at time.Time, csr []byte) []byte {
	return fmt.Appendf(nil, "writ return v1\n%s\n%d\n%x\n", cluster, at.Unix(), sha256.Sum256(csr))
}
