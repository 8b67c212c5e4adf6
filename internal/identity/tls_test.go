package identity

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
)

// shake makes one real handshake on loopback and returns what each end saw.
func shake(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
			err = conn.(*tls.Conn).HandshakeContext(t.Context())
		}
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		done <- err
	}()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", listener.Addr().String(), client)
	if err == nil {
		defer conn.Close()
		_, err = io.ReadFull(conn, make([]byte, 1)) // TLS 1.3: a refused client hears of it at its first read
		seen = conn.ConnectionState()
	}
	return seen, <-done, err
}

func TestHandshakes(t *testing.T) {
	ca := newCA(t)
	stranger, err := LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	source := func(by *CA, id spiffeid.ID, ttl time.Duration) *Source {
		return NewSource(issue(t, by, id, ttl), ca.Authorities())
	}
	hub, east := source(ca, Hub(domain), Life), source(ca, cluster(t, "east"), Life)
	server := ServerTLS(hub, AcceptCallers(domain))

	_, _, err = shake(t, server, ClientTLS(east))
	require.NoError(t, err)
	for name, c := range map[string]struct{ server, client *tls.Config }{
		"no certificate":          {server, EnrolClientTLS(ca.Authorities())},
		"a hub is no cluster":     {server, ClientTLS(hub)},
		"another CA":              {server, ClientTLS(source(stranger, cluster(t, "east"), Life))},
		"expired":                 {server, ClientTLS(source(ca, cluster(t, "east"), -time.Second))},
		"a cluster is no hub":     {ServerTLS(east, AcceptCallers(domain)), ClientTLS(east)},
		"a hub of another CA":     {ServerTLS(source(stranger, Hub(domain), Life), AcceptCallers(domain)), ClientTLS(east)},
		"enrol: another CA's hub": {EnrolServerTLS(source(stranger, Hub(domain), Life)), EnrolClientTLS(ca.Authorities())},
	} {
		_, _, err := shake(t, c.server, c.client)
		require.Error(t, err, name)
	}
	_, _, err = shake(t, EnrolServerTLS(hub), EnrolClientTLS(ca.Authorities()))
	require.NoError(t, err)
}

func TestTheSourceCountsFromTheNextHandshakeOn(t *testing.T) {
	ca, next := newCA(t), newCA(t)
	hub := NewSource(issue(t, ca, Hub(domain), Life), ca.Authorities())
	server := ServerTLS(hub, AcceptCallers(domain))
	east := NewSource(issue(t, ca, cluster(t, "east"), Life), ca.Authorities())
	_, _, err := shake(t, server, ClientTLS(east))
	require.NoError(t, err)
	hub.Set(issue(t, next, Hub(domain), Life), next.Authorities())
	_, _, err = shake(t, server, ClientTLS(east))
	require.Error(t, err)
	east.Set(issue(t, next, cluster(t, "east"), Life), next.Authorities())
	_, _, err = shake(t, server, ClientTLS(east))
	require.NoError(t, err)
}

func TestNoSessionIsResumed(t *testing.T) {
	ca := newCA(t)
	hub := NewSource(issue(t, ca, Hub(domain), Life), ca.Authorities())
	allowed := true
	server := ServerTLS(hub, func(spiffeid.ID) error {
		if !allowed {
			return errors.New("no longer")
		}
		return nil
	})
	client := ClientTLS(NewSource(issue(t, ca, cluster(t, "east"), Life), ca.Authorities()))
	client.SessionTicketsDisabled, client.ClientSessionCache = false, tls.NewLRUClientSessionCache(4) // a client that tries
	for range 2 {
		state, _, err := shake(t, server, client)
		require.NoError(t, err)
		require.False(t, state.DidResume)
	}
	allowed = false
	_, _, err := shake(t, server, client)
	require.Error(t, err)
}
