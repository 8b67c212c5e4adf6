package identity

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Accept judges the ID that a peer proved; nil lets it in. It runs on every handshake.
type Accept func(id spiffeid.ID) error

// AcceptCallers lets in every cluster and every operator of the trust domain. Whether they are still welcome, and at which method, is
// asked per call, not here.
func AcceptCallers(td spiffeid.TrustDomain) Accept {
	return func(id spiffeid.ID) error {
		if _, ok := ClusterName(td, id); ok {
			return nil
		}
		if _, ok := OperatorUser(td, id); ok {
			return nil
		}
		return fmt.Errorf("%s is neither a cluster nor an operator of %s", id, td)
	}
}

// ServerTLS is for the port that spokes use with their SVIDs. Each handshake reads the source anew.
func ServerTLS(source *Source, accept Accept) *tls.Config {
	return liveServer(source, func(config *tls.Config) {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = source.Authorities().pool
		config.VerifyConnection = verifyPeer(accept)
	})
}

// EnrolServerTLS is for the port where no client certificate is asked for. Each handshake reads the source anew.
func EnrolServerTLS(source *Source) *tls.Config { return liveServer(source, func(*tls.Config) {}) }

func liveServer(source *Source, finish func(*tls.Config)) *tls.Config {
	fresh := func() *tls.Config {
		config := base()
		config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return source.ClientCertificate(nil) }
		finish(config)
		return config
	}
	config := fresh()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return fresh(), nil }
	return config
}

// ClientTLS is how a spoke dials the hub with its SVID. It verifies the hub's chain and DNS name the ordinary way, and its
// SPIFFE ID besides. The authorities are those of now: take a new config for a new connection, as DialCredentials does.
func ClientTLS(source *Source) *tls.Config {
	config := EnrolClientTLS(source.Authorities())
	config.GetClientCertificate = source.ClientCertificate
	return config
}

// EnrolClientTLS is how a spoke that has no SVID yet dials the hub.
func EnrolClientTLS(authorities *Authorities) *tls.Config {
	td := authorities.domain
	config := base()
	config.RootCAs = authorities.pool
	config.ServerName = HubName(td)
	config.VerifyConnection = verifyPeer(func(id spiffeid.ID) error {
		if id != Hub(td) {
			return fmt.Errorf("%s is not the hub of %s", id, td)
		}
		return nil
	})
	return config
}

func base() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true, // a resumed session would outlive what its first handshake was judged on
	}
}

func verifyPeer(accept Accept) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if state.DidResume || len(state.VerifiedChains) == 0 {
			return errors.New("the peer is not verified")
		}
		id, err := IDOf(state.VerifiedChains[0][0])
		if err != nil {
			return err
		}
		return accept(id)
	}
}
