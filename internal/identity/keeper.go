package identity

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrAway is wrapped where a keeper does not do what it is asked now, and may when it is asked again.
var ErrAway = errors.New("the CA's key is away")

// Keeper is where keys of a CA are that never leave it, such as Vault. It is asked with a bound on the time of its own.
type Keeper interface {
	// Authorities lists the certificates whose keys it has.
	Authorities(ctx context.Context) ([]*x509.Certificate, error)
	// Sign makes what a template says, by the key of an authority, for the key that a signing request (PKCS #10, DER) is signed with.
	// The CA checks what comes back.
	Sign(ctx context.Context, authority, template *x509.Certificate, csr []byte) (*x509.Certificate, error)
	// String is the place, for people.
	String() string
}

// newest is the keeper's newest authority of the trust domain that began after another, PEM.
func (ca *CA) newest(ctx context.Context, after, now time.Time) ([]byte, error) {
	all, err := ca.keeper.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	var found *x509.Certificate
	for _, cert := range all {
		a, err := ParseAuthorities(encodeCertificates([][]byte{cert.Raw}))
		if err != nil || a.domain != ca.domain || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			continue // the keeper may have others, for others
		}
		if cert.NotBefore.After(after) && (found == nil || cert.NotBefore.After(found.NotBefore)) {
			found = cert
		}
	}
	switch {
	case found != nil:
		return encodeCertificates([][]byte{found.Raw}), nil
	case after.IsZero():
		return nil, fmt.Errorf("%s has no authority of the trust domain %s: make it by writ vault authority", ca.keeper, ca.domain)
	}
	return nil, fmt.Errorf("%s has no newer authority than the one that signs: make it by writ vault authority --next", ca.keeper)
}

// kept has the keeper sign, and believes nothing of what it gives.
func (ca *CA) kept(ctx context.Context, authority, template *x509.Certificate, asked *Requested, now time.Time) ([]byte, error) {
	leaf, err := ca.keeper.Sign(ctx, authority, template, asked.csr)
	if err != nil {
		return nil, err
	}
	if err := fits(leaf, authority, template, asked.Key, now); err != nil {
		return nil, fmt.Errorf("%s gave another certificate than it was asked for: %w", ca.keeper, err)
	}
	return leaf.Raw, nil
}

// fits compares what a keeper gave with what it was asked for: it must be what the CA would have made itself.
func fits(leaf, authority, template *x509.Certificate, key crypto.PublicKey, now time.Time) error {
	id, err := IDOf(leaf)
	usages := func(c *x509.Certificate) []x509.ExtKeyUsage { return slices.Sorted(slices.Values(c.ExtKeyUsage)) }
	switch {
	case err != nil:
		return err
	case leaf.CheckSignatureFrom(authority) != nil:
		return errors.New("it is not signed by the authority that signs")
	case !samePublicKey(leaf.PublicKey, key):
		return errors.New("it is for another key")
	case id.String() != template.URIs[0].String():
		return fmt.Errorf("it is for %s", id)
	case leaf.Subject.CommonName != template.Subject.CommonName, leaf.Subject.SerialNumber != template.Subject.SerialNumber:
		return fmt.Errorf("its subject is %s", leaf.Subject)
	case !slices.Equal(leaf.DNSNames, template.DNSNames), len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0:
		return errors.New("it has other names")
	case leaf.KeyUsage != template.KeyUsage, !slices.Equal(usages(leaf), usages(template)), len(leaf.UnknownExtKeyUsage) > 0:
		return errors.New("it may be used for something else")
	case leaf.NotAfter.After(template.NotAfter.Add(backdate)):
		return fmt.Errorf("it lives until %s", leaf.NotAfter.Format(time.RFC3339))
	case leaf.NotBefore.After(now), !leaf.NotAfter.After(now):
		return fmt.Errorf("it is good from %s to %s, and that is not now: set the clocks", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
