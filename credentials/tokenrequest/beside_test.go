package tokenrequest_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
)

// behind is an issuer whose requests pass by, who may answer them itself.
func behind(t *testing.T, s *credentialstest.Scene, by func(w http.ResponseWriter, r *http.Request) (answered bool)) *tokenrequest.Issuer {
	t.Helper()
	transport, err := rest.TransportFor(s.Anonymous())
	require.NoError(t, err)
	host, err := url.Parse(s.Anonymous().Host)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(host) }}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !by(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	config := s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)
	config.Host, config.TLSClientConfig = server.URL, rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	i, err := tokenrequest.New(config)
	require.NoError(t, err)
	return i
}

func binds(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/rolebindings")
}

func asksForAToken(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/"+tokenrequest.Namespace+"/") && strings.HasSuffix(r.URL.Path, "/token")
}

// The token is asked for while the binding is being made.
func TestTheTokenDoesNotWaitForTheBinding(t *testing.T) {
	s := credentialstest.New(t, false)
	s.Lease(t, "scale", `{"replicas":4}`) // the rights of who issues are in force
	asked := make(chan struct{})
	i := behind(t, s, func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case asksForAToken(r):
			close(asked)
		case binds(r):
			select {
			case <-asked:
			case <-time.After(10 * time.Second):
				t.Error("nobody asks for the token before there is the binding")
			}
		}
		return false
	})
	lease, err := i.Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.NoError(t, err)
	require.NoError(t, lease.Revoke(t.Context()))
}

// A token without its binding is nobody's: it is not given, and nothing is left.
func TestNoLeaseWithoutItsBinding(t *testing.T) {
	s := credentialstest.New(t, false)
	s.Lease(t, "scale", `{"replicas":4}`)
	identities := func() []string {
		return append(s.Identities(t.Context(), t, s.Allowed), s.Identities(t.Context(), t, tokenrequest.Namespace)...)
	}
	before := identities()
	var given atomic.Bool
	i := behind(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if asksForAToken(r) {
			given.Store(true)
		}
		if binds(r) {
			http.Error(w, "etcd is away", http.StatusInternalServerError)
		}
		return binds(r)
	})
	lease, err := i.Issue(t.Context(), s.Verified(t, "scale", s.Allowed, `{"replicas":4}`), life)
	require.ErrorContains(t, err, "etcd is away")
	require.Nil(t, lease)
	require.True(t, given.Load(), "a token was asked for")
	require.Equal(t, before, identities())
}
