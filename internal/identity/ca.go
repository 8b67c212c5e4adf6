package identity

import (
	"bytes"
	"context"
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
	"sync"
	"sync/atomic"
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

// CA is the certificate authority of a hub. Its keys are in a file, or with a keeper. It is safe for concurrent use.
type CA struct {
	dir     string
	domain  spiffeid.TrustDomain
	keeper  Keeper // nil: every key is in the file
	current atomic.Pointer[signing]
	turn    sync.Mutex // held by the one who changes the files
}

// signing is what is on disk: the first of the authorities signs, with one of the keys, or its keeper does.
type signing struct {
	authorities *Authorities
	key         crypto.Signer   // nil: the keeper has it
	keys        []crypto.Signer // of the file; during a rotation the old one, then the new one
}

func (s *signing) cert() *x509.Certificate { return s.authorities.certs[0] }

const (
	caKeyFile  = "ca.key"
	caCertFile = "ca.crt"
)

// LoadCA returns the CA in dir, and makes it first where there is none: ca.key (PKCS #8, mode 0600) and ca.crt, whose first
// certificate signs and whose others, during a rotation, are trusted as well.
func LoadCA(dir string, td spiffeid.TrustDomain, now time.Time) (*CA, error) {
	return OpenCA(context.Background(), dir, td, nil, now)
}

// OpenCA is LoadCA where a keeper may have the keys. It is asked where there is no ca.crt yet, and must have an authority then; else
// it may be away. An authority whose key is in ca.key signs by that, until a rotation ends it.
func OpenCA(ctx context.Context, dir string, td spiffeid.TrustDomain, keeper Keeper, now time.Time) (*CA, error) {
	ca := &CA{dir: dir, domain: td, keeper: keeper}
	keyFile, certFile := filepath.Join(dir, caKeyFile), filepath.Join(dir, caCertFile)
	keys, err := ca.loadKeys(keyFile)
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	raw, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = ca.first(ctx, keys, now); err == nil {
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
	s := &signing{authorities: authorities, key: keyOf(authorities.certs[0], keys), keys: keys}
	switch {
	case authorities.domain != td:
		return nil, fmt.Errorf("CA: %s is of the trust domain %s, not %s", certFile, authorities.domain, td)
	case s.key == nil && keeper == nil:
		return nil, fmt.Errorf("CA: %s does not belong to the first certificate of %s", keyFile, certFile)
	case now.After(s.cert().NotAfter):
		return nil, fmt.Errorf("CA: %s expired at %s", certFile, s.cert().NotAfter.Format(time.RFC3339))
	}
	if len(keys) == 0 {
		if err := ca.writeKeys(nil); err != nil { // a hub that no longer knows of the keeper must not make a key of its own
			return nil, fmt.Errorf("CA: %w", err)
		}
	}
	ca.current.Store(s)
	return ca, nil
}

// first is the certificate of the first authority, PEM.
func (ca *CA) first(ctx context.Context, keys []crypto.Signer, now time.Time) ([]byte, error) {
	if len(keys) > 0 {
		return selfSigned(ca.domain, keys[0], now)
	}
	return ca.newest(ctx, time.Time{}, now)
}

// keyOf is the one of the keys that a certificate is for; nil where it is none.
func keyOf(cert *x509.Certificate, keys []crypto.Signer) crypto.Signer {
	for _, key := range keys {
		if samePublicKey(key.Public(), cert.PublicKey) {
			return key
		}
	}
	return nil
}

// Authorities are what peers must trust.
func (ca *CA) Authorities() *Authorities { return ca.current.Load().authorities }

// Expires is when the certificate that signs ends, and with it every SVID.
func (ca *CA) Expires() time.Time { return ca.current.Load().cert().NotAfter }

// Issue makes an X.509-SVID for a key: exactly one URI SAN, no CA, digitalSignature, and for the hub its DNS name. An
// operator's is good for clients alone. The chain is DER, leaf first. Identity and key are the caller's word; nothing else enters. The
// SVID names the enrolment, if there is one, in the serial number of its subject: so that one of an enrolment before is told from it,
// though the ID is the same. See EnrolmentOf. The error wraps ErrAway where the keeper of the key does not answer.
func (ca *CA) Issue(ctx context.Context, enrolment string, asked *Requested, id spiffeid.ID, now time.Time, ttl time.Duration) (chain [][]byte, err error) {
	return ca.issueBy(ctx, ca.current.Load(), enrolment, asked, id, now, ttl)
}

// Make makes a key, and issues an SVID for it.
func (ca *CA) Make(ctx context.Context, enrolment string, id spiffeid.ID, now time.Time, ttl time.Duration) (*SVID, error) {
	return ca.makeBy(ctx, ca.current.Load(), enrolment, id, now, ttl)
}

func (ca *CA) makeBy(ctx context.Context, with *signing, enrolment string, id spiffeid.ID, now time.Time, ttl time.Duration) (*SVID, error) {
	key, err := GenerateKey()
	if err != nil {
		return nil, err
	}
	csr, err := Request(key)
	if err != nil {
		return nil, err
	}
	chain, err := ca.issueBy(ctx, with, enrolment, &Requested{key.Public(), csr}, id, now, ttl)
	if err != nil {
		return nil, err
	}
	return NewSVID(chain, key)
}

func (ca *CA) issueBy(ctx context.Context, with *signing, enrolment string, asked *Requested, id spiffeid.ID, now time.Time, ttl time.Duration) (chain [][]byte, err error) {
	td := ca.domain
	name, usages, ok := shapeOf(td, id)
	if !ok {
		return nil, fmt.Errorf("issue SVID: %s is neither the hub nor a cluster nor an operator of %s", id, td)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, SerialNumber: enrolment}, // the name is for people, and for Vault, which names its alias after it
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(ttl),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages,
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{id.URL()},
	}
	if id == Hub(td) {
		template.DNSNames = []string{HubName(td)}
	}
	if template.NotAfter.After(with.cert().NotAfter) {
		template.NotAfter = with.cert().NotAfter
	}
	var der []byte
	if with.key != nil {
		der, err = sign(template, with.cert(), asked.Key, with.key)
	} else {
		der, err = ca.kept(ctx, with.cert(), template, asked, now)
	}
	if err != nil {
		return nil, fmt.Errorf("issue SVID for %s: %w", id, err)
	}
	return [][]byte{der}, nil
}

// shapeOf is what a leaf says besides its ID: a name, and what it may be used for.
func shapeOf(td spiffeid.TrustDomain, id spiffeid.ID) (name string, usages []x509.ExtKeyUsage, ok bool) {
	usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	if id == Hub(td) {
		return "hub", usages, true
	}
	if name, ok = ClusterName(td, id); ok {
		return name, usages, true
	}
	_, ok = OperatorUser(td, id)
	return "", usages[:1], ok // no name: whatever Vault would call it must be no cluster's
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
