package identity

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keeper has keys, gives what it is asked for, and can be told to give something else. A real one is in credentials/vault.
type keeper struct {
	certs []*x509.Certificate
	keys  []crypto.Signer
	away  bool
	spoil func(template *x509.Certificate)
	other crypto.PublicKey // gives a certificate for this key
	by    crypto.Signer    // signs with this key
	asked int
}

// makes gives the keeper another authority, which began at a time.
func (k *keeper) makes(t *testing.T, at time.Time) {
	t.Helper()
	key, err := GenerateKey()
	require.NoError(t, err)
	raw, err := selfSigned(domain, key, at)
	require.NoError(t, err)
	a, err := ParseAuthorities(raw)
	require.NoError(t, err)
	k.certs, k.keys = append(k.certs, a.certs[0]), append(k.keys, key)
}

func (k *keeper) String() string { return "the keeper" }

func (k *keeper) Authorities(context.Context) ([]*x509.Certificate, error) {
	if k.away {
		return nil, ErrAway
	}
	return k.certs, nil
}

func (k *keeper) Sign(_ context.Context, authority, template *x509.Certificate, csr []byte) (*x509.Certificate, error) {
	k.asked++
	if k.away {
		return nil, ErrAway
	}
	asked, err := ReadRequest(csr)
	if err != nil {
		return nil, err
	}
	made, key, public := *template, keyOf(authority, k.keys), asked.Key
	if k.spoil != nil {
		k.spoil(&made)
	}
	if k.other != nil {
		public = k.other
	}
	if key == nil {
		return nil, errors.New("no such key")
	}
	if k.by != nil {
		key = k.by
	}
	parent := *authority
	parent.PublicKey = key.Public()
	der, err := sign(&made, &parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func openKept(t *testing.T, dir string, k *keeper) *CA {
	t.Helper()
	ca, err := OpenCA(t.Context(), dir, domain, k, time.Now())
	require.NoError(t, err)
	return ca
}

// The keys are with a keeper from the first day, and are rotated there. Each step is on disk, and no key is.
func TestARotationWithAKeeper(t *testing.T) {
	dir, k, from := t.TempDir(), &keeper{}, time.Now().Add(-time.Hour)
	_, err := OpenCA(t.Context(), dir, domain, k, time.Now())
	require.ErrorContains(t, err, "the keeper has no authority of the trust domain writ.test: make it by writ vault authority")
	k.away = true
	_, err = OpenCA(t.Context(), dir, domain, k, time.Now())
	require.ErrorIs(t, err, ErrAway)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing was written")
	k.away = false
	k.makes(t, from)
	ca := openKept(t, dir, k)
	first := ca.Signer()
	require.Equal(t, first, AuthorityOf(issue(t, ca, cluster(t, "east"), Life).Leaf()))
	require.ErrorContains(t, ca.Prepare(t.Context(), time.Now()), "make it by writ vault authority --next")
	require.Equal(t, Idle, ca.Stage())

	k.makes(t, from.Add(time.Minute))
	require.NoError(t, ca.Prepare(t.Context(), time.Now()))
	require.Equal(t, Published, openKept(t, dir, k).Stage())
	require.Equal(t, first, ca.Signer())

	k.away = true
	require.ErrorIs(t, ca.Switch(t.Context(), time.Now()), ErrAway)
	require.Equal(t, Published, openKept(t, dir, k).Stage(), "an authority that cannot sign does not begin to")
	k.away = false
	require.NoError(t, ca.Switch(t.Context(), time.Now()))
	require.NotEqual(t, first, ca.Signer())
	require.Equal(t, ca.Signer(), AuthorityOf(issue(t, ca, cluster(t, "east"), Life).Leaf()))
	require.Equal(t, Signing, openKept(t, dir, k).Stage())

	require.NoError(t, ca.Drop())
	require.Equal(t, Idle, openKept(t, dir, k).Stage())
	require.ErrorContains(t, ca.Prepare(t.Context(), time.Now()), "no newer authority", "the one that was dropped is none")
	raw, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
	require.Empty(t, raw)
	_, err = LoadCA(dir, domain, time.Now())
	require.ErrorContains(t, err, "holds no PKCS #8 key", "a hub that does not know of the keeper makes no key of its own")
}

// A CA whose key is in the file goes over to a keeper by a rotation, and its key is gone then.
func TestAKeyGoesFromTheFileToAKeeper(t *testing.T) {
	dir, k := t.TempDir(), &keeper{}
	file, err := LoadCA(dir, domain, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	ca := openKept(t, dir, k)
	require.Equal(t, file.Signer(), ca.Signer())
	issue(t, ca, cluster(t, "east"), Life)
	require.Zero(t, k.asked, "the file signs still")
	k.makes(t, time.Now())
	require.NoError(t, ca.Prepare(t.Context(), time.Now()))
	issue(t, openKept(t, dir, k), cluster(t, "east"), Life)
	require.Zero(t, k.asked)
	require.NoError(t, ca.Switch(t.Context(), time.Now()))
	require.NoError(t, ca.Drop())
	require.NotEqual(t, file.Signer(), ca.Signer())
	issue(t, openKept(t, dir, k), cluster(t, "east"), Life)
	require.Equal(t, 2, k.asked)
	raw, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
	require.Empty(t, raw)
}

// A keeper is not believed: what is not what it was asked for is no SVID.
func TestAKeeperThatGivesSomethingElse(t *testing.T) {
	k := &keeper{}
	k.makes(t, time.Now().Add(-time.Hour))
	ca := openKept(t, t.TempDir(), k)
	issue(t, ca, Hub(domain), Life)
	for says, spoil := range map[string]func(*x509.Certificate){
		"it is for spiffe://writ.test/cluster/west": func(c *x509.Certificate) { c.URIs = []*url.URL{cluster(t, "west").URL()} },
		"has 2 URI names":                      func(c *x509.Certificate) { c.URIs = append(c.URIs, cluster(t, "west").URL()) },
		"the certificate is a CA":              func(c *x509.Certificate) { c.IsCA = true },
		"may sign certificates":                func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign },
		"its subject is CN=west":               func(c *x509.Certificate) { c.Subject.CommonName = "west" },
		"its subject is SERIALNUMBER=9,CN=hub": func(c *x509.Certificate) { c.Subject.SerialNumber = "9" },
		"it has other names":                   func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "api.writ.test") },
		"it has other names ":                  func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv6loopback} },
		"used for something else":              func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) },
		"it lives until":                       func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) },
		"set the clocks":                       func(c *x509.Certificate) { c.NotBefore = time.Now().Add(10 * time.Minute) },
	} {
		k.spoil = spoil
		_, err := ca.Make(t.Context(), "", Hub(domain), time.Now(), Life)
		require.ErrorContains(t, err, "the keeper gave another certificate than it was asked for: ")
		require.ErrorContains(t, err, says[:len(says)-1])
	}
	k.spoil = nil
	other, err := GenerateKey()
	require.NoError(t, err)
	k.other = other.Public()
	_, err = ca.Make(t.Context(), "", Hub(domain), time.Now(), Life)
	require.ErrorContains(t, err, "it is for another key")
	k.other = nil
	k.by = other
	_, err = ca.Make(t.Context(), "", Hub(domain), time.Now(), Life)
	require.ErrorContains(t, err, "it is not signed by the authority that signs")
}

// Without an SVID nobody gets in, and the first that comes counts.
func TestTheFirstSVIDMayComeLate(t *testing.T) {
	ca := newCA(t)
	hub := NewSource(nil, ca.Authorities())
	server, east := ServerTLS(hub, AcceptCallers(domain)), NewSource(issue(t, ca, cluster(t, "east"), Life), ca.Authorities())
	_, _, err := shake(t, server, ClientTLS(east))
	require.Error(t, err)
	_, err = hub.ClientCertificate(&tls.CertificateRequestInfo{})
	require.ErrorIs(t, err, ErrNoSVID)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	tries := 0
	renew := func(ctx context.Context) (*SVID, *Authorities, error) {
		if tries++; tries < 2 {
			return nil, nil, ErrAway
		}
		return RenewHub(ca, time.Now)(ctx)
	}
	came := make(chan struct{}, 1)
	hub.Watch(func() { came <- struct{}{} })
	go func() {
		defer close(done)
		Keep(ctx, hub, renew, func(*SVID, *Authorities) error { return nil }, nil, time.Now, slog.New(slog.DiscardHandler))
	}()
	select {
	case <-came:
	case <-time.After(10 * time.Second):
		t.Error("no SVID came")
	}
	cancel()
	<-done
	_, _, err = shake(t, server, ClientTLS(east))
	require.NoError(t, err)
}
