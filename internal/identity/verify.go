package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Verify returns the ID that a client's chain (leaf first) proves at a time. It is for whoever ends a TLS connection that asks for
// a client's certificate and does not itself judge it; the TLS handshake has proved that the client holds the leaf's key.
func (a *Authorities) Verify(chain []*x509.Certificate, now time.Time) (spiffeid.ID, error) {
	if len(chain) == 0 {
		return spiffeid.ID{}, errors.New("the client showed no certificate")
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: a.pool, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("the client's certificate: %w", err)
	}
	id, err := IDOf(chain[0])
	if err != nil {
		return spiffeid.ID{}, err
	}
	if !id.MemberOf(a.domain) {
		return spiffeid.ID{}, fmt.Errorf("%s is of another trust domain than %s", id, a.domain)
	}
	return id, nil
}
