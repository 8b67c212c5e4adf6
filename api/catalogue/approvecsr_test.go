package catalogue_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

func TestWhatACertificateIsAskedFor(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x", Organization: []string{"people"}},
		DNSNames: []string{"x.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/y"}},
		EmailAddresses: []string{"x@example.org"}}, key)
	require.NoError(t, err)
	signingRequest := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	csr := func(status string) string {
		return `{"metadata":{"uid":"u1","resourceVersion":"9"},"spec":{"signerName":"example.org/x","username":"somebody","usages":["digital signature"],
			"expirationSeconds":3600,"request":"` + signingRequest + `"},"status":{` + status + `}}`
	}
	asked := `{"signer":"example.org/x"}`
	c, err := judged(t, "approve-csr", catalogue.CertificateSigningRequest, asked, csr(``))
	require.NoError(t, err)
	require.JSONEq(t, `{"signer":"example.org/x","requestedBy":"somebody","subject":"CN=x,O=people","dnsNames":["x.example"],"ipAddresses":["10.0.0.1"],
		"uris":["spiffe://x/y"],"emails":["x@example.org"],"usages":["digital signature"],"expirySeconds":3600,"issued":false}`, string(c.Facts.State))
	got, err := change(t, "approve-csr", c, csr(``))
	require.NoError(t, err)
	require.Equal(t, "approval", got.Subresource)
	require.Contains(t, string(got.Body), `"path":"/status/conditions","value":[`)
	got, err = change(t, "approve-csr", c, csr(`"conditions":[{"type":"Seen","status":"True"}]`))
	require.NoError(t, err)
	require.Contains(t, string(got.Body), `"path":"/status/conditions/-","value":{`)

	_, err = change(t, "approve-csr", c, csr(`"conditions":[{"type":"Denied","status":"True"}]`))
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
	denied, err := judged(t, "approve-csr", catalogue.CertificateSigningRequest, asked, csr(`"conditions":[{"type":"Denied","status":"True"}]`))
	require.NoError(t, err)
	_, err = change(t, "approve-csr", denied, csr(`"conditions":[{"type":"Denied","status":"True"}]`))
	require.ErrorIs(t, err, catalogue.ErrUnfit)
	approved, err := judged(t, "approve-csr", catalogue.CertificateSigningRequest, asked, csr(`"conditions":[{"type":"Approved","status":"True"}]`))
	require.NoError(t, err)
	_, err = change(t, "approve-csr", approved, csr(`"conditions":[{"type":"Approved","status":"True"}]`))
	require.ErrorIs(t, err, catalogue.ErrNothingToDo)

	for name, object := range map[string]string{
		"another signer": strings.Replace(csr(``), "example.org/x", "example.org/y", 1),
		"no request":     strings.Replace(csr(``), signingRequest, "", 1),
		"half a request": strings.Replace(csr(``), signingRequest, signingRequest[:96], 1),
	} {
		_, err := judged(t, "approve-csr", catalogue.CertificateSigningRequest, asked, object)
		require.ErrorIs(t, err, catalogue.ErrUnfit, name)
	}
	require.Error(t, catalogue.Actions()["approve-csr"].Validate([]byte(`{}`)))
	require.Error(t, catalogue.Actions()["approve-csr"].Validate([]byte(`{"signer":"*"}`)))
}
