package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
)

var domain = spiffeid.RequireTrustDomainFromString("writ.test")

func newCA(t *testing.T) *CA {
	ca, err := LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	return ca
}

func issue(t *testing.T, ca *CA, id spiffeid.ID, ttl time.Duration) *SVID {
	svid, err := ca.Make(t.Context(), "", id, time.Now(), ttl)
	require.NoError(t, err)
	return svid
}

func cluster(t *testing.T, name string) spiffeid.ID {
	id, err := Cluster(domain, name)
	require.NoError(t, err)
	return id
}

func TestClusterNamesAreLabels(t *testing.T) {
	for _, name := range []string{"", "A", "a/b", "a.b", "-a", "a-", "..", "hub\n", string(make([]byte, 64))} {
		_, err := Cluster(domain, name)
		require.Error(t, err, "%q", name)
	}
	name, ok := ClusterName(domain, cluster(t, "east"))
	require.True(t, ok)
	require.Equal(t, "east", name)
	for _, id := range []string{"spiffe://writ.test/hub", "spiffe://other.test/cluster/east", "spiffe://writ.test/cluster/east/x", "spiffe://writ.test/cluster/EAST"} {
		_, ok := ClusterName(domain, spiffeid.RequireFromString(id))
		require.False(t, ok, id)
	}
}

func TestCAStaysTheSameAndPrivate(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	again, err := LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	require.Equal(t, first.Authorities().PEM(), again.Authorities().PEM())
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, err = LoadCA(dir, spiffeid.RequireTrustDomainFromString("other.test"), time.Now())
	require.ErrorContains(t, err, "trust domain")
	_, err = LoadCA(dir, domain, time.Now().Add(caLife+time.Hour))
	require.ErrorContains(t, err, "expired")
	require.NoError(t, os.Remove(filepath.Join(dir, "ca.key")))
	_, err = LoadCA(dir, domain, time.Now())
	require.ErrorContains(t, err, "does not belong")
}

func TestIssueHoldsToTheShapeOfAnSVID(t *testing.T) {
	ca := newCA(t)
	leaf := issue(t, ca, cluster(t, "east"), Life).Leaf()
	require.Len(t, leaf.URIs, 1)
	require.Equal(t, "spiffe://writ.test/cluster/east", leaf.URIs[0].String())
	require.False(t, leaf.IsCA)
	require.Equal(t, x509.KeyUsageDigitalSignature, leaf.KeyUsage)
	require.Empty(t, leaf.DNSNames)
	require.Equal(t, Life+backdate, leaf.NotAfter.Sub(leaf.NotBefore))
	require.Equal(t, []string{"hub.writ.test"}, issue(t, ca, Hub(domain), Life).Leaf().DNSNames)

	for _, id := range []string{"spiffe://other.test/hub", "spiffe://writ.test/agent/x", "spiffe://writ.test"} {
		_, err := ca.Make(t.Context(), "", spiffeid.RequireFromString(id), time.Now(), Life)
		require.Error(t, err, id)
	}
}

func TestARequestGivesTheKeyAndNothingElse(t *testing.T) {
	key, err := GenerateKey()
	require.NoError(t, err)
	forged := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "west"},
		URIs:    []*url.URL{cluster(t, "west").URL()}, DNSNames: []string{"hub.writ.test"},
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, forged, key)
	require.NoError(t, err)
	asked, err := ReadRequest(csr)
	require.NoError(t, err)
	require.True(t, samePublicKey(key.Public(), asked.Key))

	broken := append([]byte{}, csr...)
	broken[len(broken)-1] ^= 1
	_, err = ReadRequest(broken)
	require.Error(t, err)
	_, err = ReadRequest(make([]byte, maxRequest+1))
	require.ErrorContains(t, err, "at most")
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	csr, err = Request(weak)
	require.NoError(t, err)
	_, err = ReadRequest(csr)
	require.ErrorContains(t, err, "P-256")
}

func TestSVIDSurvivesTheDisk(t *testing.T) {
	svid := issue(t, newCA(t), cluster(t, "east"), Life)
	file := filepath.Join(t.TempDir(), "deep", "svid.pem")
	require.NoError(t, svid.Save(file))
	loaded, err := LoadSVID(file)
	require.NoError(t, err)
	require.Equal(t, svid.ID, loaded.ID)
	require.True(t, svid.Leaf().Equal(loaded.Leaf()))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")
}

func TestHalfLife(t *testing.T) {
	from := time.Unix(0, 0)
	require.Equal(t, from.Add(27*time.Minute), halfLife(from, from.Add(time.Hour), 0))
	require.Equal(t, from.Add(33*time.Minute), halfLife(from, from.Add(time.Hour), 1))
}

func TestKeepRenewsAndNeverChangesTheID(t *testing.T) {
	ca := newCA(t)
	source := NewSource(issue(t, ca, cluster(t, "east"), 0), ca.Authorities())
	answers := make(chan *SVID, 3)
	answers <- nil
	answers <- issue(t, ca, cluster(t, "west"), Life)
	want := issue(t, ca, cluster(t, "east"), Life)
	answers <- want
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stored := 0
	Keep(ctx, source, func(context.Context) (*SVID, *Authorities, error) {
		svid := <-answers
		if svid == nil {
			return nil, nil, errors.New("the hub is away")
		}
		return svid, ca.Authorities(), nil
	}, func(svid *SVID, _ *Authorities) error {
		stored++
		require.Same(t, want, svid)
		cancel()
		return nil
	}, nil, time.Now, slog.New(slog.DiscardHandler))
	require.Equal(t, 1, stored)
	require.Same(t, want, source.SVID())
}

func TestAuthoritiesAreStrict(t *testing.T) {
	ca := newCA(t)
	good := ca.Authorities().PEM()
	parsed, err := ParseAuthorities(append(good, good...))
	require.NoError(t, err)
	require.Equal(t, domain, parsed.TrustDomain())
	leaf := encodeCertificates(issue(t, ca, cluster(t, "east"), Life).certificate.Certificate)
	other, err := LoadCA(t.TempDir(), spiffeid.RequireTrustDomainFromString("other.test"), time.Now())
	require.NoError(t, err)
	for name, raw := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "text after": append(ca.Authorities().PEM(), "x"...), "leaf": leaf,
		"two domains": append(ca.Authorities().PEM(), other.Authorities().PEM()...),
	} {
		_, err := ParseAuthorities(raw)
		require.Error(t, err, name)
	}
}
